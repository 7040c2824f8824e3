"""From class names to WordNet synsets: maps of the known data sets, and look-ups that ask instead of guessing."""

import difflib
import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from importlib.resources import files
from itertools import chain

from models.registry import did_you_mean
from study.semantics.wordnet import Hierarchy, Lexicon, embedded, embedded_lexicon, full

_WNID = re.compile(r"(?<![a-z0-9])n\d{8}(?![0-9])", re.IGNORECASE)
_NUMBER = re.compile(r"^\d+[\s._-]+")
"""A number before the name, as in 001.Black_footed_Albatross."""
SYNSET = re.compile(r"(?P<lemma>.+)\.n\.(?P<sense>\d{2,})")
SHOWN_PROBLEMS = 10
SHOWN_CLASSES = 3
"""Classes without a synset that are named where all are only counted."""

CLASS_MAPS: dict[str, dict[str, list[str]]] = json.loads(
    files("study.semantics").joinpath("classes.json").read_text(encoding="utf-8")
)
"""Data set → class → its synset, then alternates that `mapping` may name.

Where a class name has several senses, the one that the data set shows was chosen (CIFAR-100's `mouse` is the rodent,
its `keyboard` the computer's). CIFAR-100's coarse classes are groups rather than words and have the synset nearest to
the group's name, which does not lie above all five of its classes (a beaver is no aquatic mammal in WordNet); two of
them share placental.n.01. AG News topics have the activities that the news is about, all beneath act.n.02, so that
their depths compare: world affairs, sport, commercial enterprise, technology.
"""


class UnresolvedClasses(ValueError):
    """Classes without a synset: the message names each with the candidate senses and what to write; `brief` counts them
    and names the first, in a line."""

    brief: str = ""


def synsets_of(
    classes: Sequence[str], *, dataset: str | None = None, mapping: Mapping[str, str] | None = None
) -> tuple[str, ...]:
    """The WordNet 3.0 synset of each class, by its canonical name (`dog.n.01`).

    A class is looked up, in this order, in `mapping` (class → synset name or wnid), in the map of the data set (a
    key of CLASS_MAPS; other data sets have none), as a wnid that it is or holds (`n02085620-Chihuahua`), as a synset
    name, and as a word, without a number before it (`018.bowling-ball`), which is accepted where WordNet has exactly
    one noun sense of it. A mapping without a data set's map has to name every class that is a word.

    Raises UnresolvedClasses (a ValueError) that lists every class without a synset, with candidates and glosses.
    """
    mapping = mapping or {}
    if unused := sorted(set(mapping) - set(classes)):
        names = [f"{name!r}{did_you_mean(name, list(classes))}" for name in unused]
        raise UnresolvedClasses(f"the mapping names classes that the data do not have: {', '.join(names)}")
    known = _map_of(dataset, classes) | dict(mapping)
    must_be_named = bool(mapping) and dataset not in CLASS_MAPS
    synsets, problems = [], {}
    for name in classes:
        try:
            if must_be_named and name not in known and not _is_synset(name):
                raise UnresolvedClasses(f"the mapping has no synset for it{_candidates(plain_word(name))}")
            synsets.append(canonical(known[name]) if name in known else _look_up(name))
        except UnresolvedClasses as problem:
            problems[name] = f"class {name!r}: {problem}"
    if problems:
        error = UnresolvedClasses(_report(list(problems.values()), len(classes), next(iter(problems))))
        error.brief = _brief(problems, len(classes))
        raise error
    return tuple(synsets)


def as_map(classes: Sequence[str], *, dataset: str | None = None) -> str:
    """A mapping of class → synset in YAML, to be looked over and then given as `mapping`.

    A word of several senses has the first one that can be used, with its gloss, and each other one as a comment; a
    class that WordNet does not have is a comment alone, with the senses of words like it.
    """
    known = _map_of(dataset, classes)
    head = f"# class: its WordNet 3.0 noun synset; of several senses the first that is known{_needs_full_wordnet()}\n"
    return head + "".join(_entry(name, known.get(name)) for name in classes)


def _entry(name: str, known: str | None) -> str:
    """The lines of a class in the mapping."""
    key = json.dumps(name, ensure_ascii=False)
    try:
        return f"{key}: {json.dumps(canonical(known) if known else _look_up(name), ensure_ascii=False)}\n"
    except UnresolvedClasses as problem:
        why, *told = str(problem).splitlines()
    senses = [line.strip().partition(": ")[::2] for line in told]
    first = next((sense for sense, _ in senses if _can_be_used(sense)), None) if _senses(plain_word(name))[0] else None
    lines = [f"{key}: {json.dumps(sense)}  # {gloss}" for sense, gloss in senses]
    marks = ["" if sense == first else "# " for sense, _ in senses]
    head = "" if first else f"# {key}: lemma.n.NN  # {why.partition(';')[0]}\n"
    return head + "".join(f"{mark}{line}\n" for mark, line in zip(marks, lines, strict=True))


def _can_be_used(synset: str) -> bool:
    """Whether its place in a hierarchy is known: the embedded extract lists senses that it does not hold."""
    try:
        return bool(hierarchy_of([synset]))
    except UnresolvedClasses:
        return False


def canonical(synset: str) -> str:
    """The name (`airplane.n.01`) of a synset given by that name, by another lemma (`plane.n.01`) or by its wnid."""
    for hierarchy, lexicon in _wordnets():
        if synset in hierarchy.row_of:
            return hierarchy.names[hierarchy.row_of[synset]]
        if synset in lexicon.glosses:
            return synset
        if parts := SYNSET.fullmatch(synset):
            senses = lexicon.senses.get(parts["lemma"].lower(), ())
            if 1 <= int(parts["sense"]) <= len(senses):
                return senses[int(parts["sense"]) - 1]
    word = synset.split(".")[0]
    needs = "" if _senses(word)[0] else _needs_full_wordnet()
    raise UnresolvedClasses(f"no synset {synset!r}{needs}{_candidates(word)}")


def hierarchy_of(synsets: Sequence[str]) -> tuple[Hierarchy, list[int]]:
    """A hierarchy that holds all the synsets (names or wnids), the embedded one if it does, and their rows in it."""
    names = [name if name in embedded().row_of else canonical(name) for name in synsets]
    missing = [name for name in names if name not in embedded().row_of]
    if not missing:
        return embedded(), [embedded().row_of[name] for name in names]
    found = full()
    if found is None:
        raise UnresolvedClasses(f"not in the embedded extract: {', '.join(missing)}{_needs_full_wordnet()}")
    return found[0], [found[0].row_of[name] for name in names]


def _map_of(dataset: str | None, classes: Sequence[str]) -> dict[str, str]:
    """Class → synset of the data set's classes, by its own map or that of its coarse classes."""
    maps = [CLASS_MAPS.get(name, {}) for name in (dataset or "", f"{dataset}_coarse")]
    found = next((found for found in maps if set(classes) <= set(found)), maps[0])
    return {name: synsets[0] for name, synsets in found.items()}


def wnid_in(name: str) -> str | None:
    """The wnid that a class's name is or holds (`N02084071`, `n02085620-Chihuahua`), in lower case."""
    found = _WNID.findall(name)
    return found[0].lower() if len(found) == 1 else None


def plain_word(name: str) -> str:
    """A class's name without the number before it."""
    return _NUMBER.sub("", name) or name


def _is_synset(name: str) -> bool:
    return bool(wnid_in(name) or SYNSET.fullmatch(name))


def _look_up(name: str) -> str:
    if _is_synset(name):
        return canonical(wnid_in(name) or name)
    name = plain_word(name)
    senses, _ = _senses(name)
    if not senses:
        raise UnresolvedClasses(f"no noun sense in WordNet{_needs_full_wordnet()}{_candidates(name)}")
    if len(senses) > 1:
        raise UnresolvedClasses(f"{len(senses)} noun senses in WordNet{_candidates(name)}")
    return senses[0]


def _wordnets() -> Iterator[tuple[Hierarchy, Lexicon]]:
    """The embedded WordNet, then, only if that was not enough, the full one."""
    yield embedded(), embedded_lexicon()
    if (found := full()) is not None:
        yield found


def _lemma(word: str) -> str:
    return re.sub(r"[\s-]+", "_", word.strip().lower())


def _senses(word: str) -> tuple[tuple[str, ...], Mapping[str, str]]:
    """The noun synsets of a word, with glosses; a word that is not there as it is spelt, by its letters alone."""
    lemma = _lemma(word)
    for _, lexicon in _wordnets():
        alike = (w for w in lexicon.by_initial.get(lemma[:1], ()) if _letters(w) == _letters(lemma))
        for spelling in chain((lemma, lemma.replace("_", "-"), lemma.replace("_", "")), alike):
            if spelling in lexicon.senses:
                return lexicon.senses[spelling], lexicon.glosses
    return (), {}


def _letters(lemma: str) -> str:
    return re.sub(r"[_' .-]", "", lemma)


def _candidates(word: str) -> str:
    """The word's noun senses with their glosses, a line each; where it has none, those of words like it."""
    words = [word] if _senses(word)[0] else _words_like(_lemma(word))
    found = {name: glosses[name] for senses, glosses in map(_senses, words) for name in senses}
    return "".join(f"\n    {name}: {gloss}" for name, gloss in found.items())


def _words_like(lemma: str) -> list[str]:
    """Words with noun senses: the last one of a compound (`cone` of traffic_cone), and those that are spelt alike."""
    *_, (_, lexicon) = _wordnets()
    last = lemma.rpartition("_")[2]
    spelt = difflib.get_close_matches(lemma, lexicon.by_initial.get(lemma[:1], ()), n=2, cutoff=0.75)
    return list(dict.fromkeys([*([last] if last in lexicon.senses else []), *spelt]))


def _needs_full_wordnet() -> str:
    if full() is not None:
        return ""
    return (
        "; the embedded extract holds the classes of the known data sets and their hypernyms: for others install"
        " WordNet 3.0 (Debian: wordnet-base; NLTK: nltk.download('wordnet')) or set WNHOME to its folder"
    )


def _brief(problems: Mapping[str, str], count: int) -> str:
    """How many classes have no synset, and of the first ones why."""
    whys = [problem.partition(": ")[2].splitlines()[0].partition(" in WordNet")[0] for problem in problems.values()]
    named = [f"{name} ({why})" for name, why in zip(problems, whys, strict=True)][:SHOWN_CLASSES]
    more = f" and {len(problems) - SHOWN_CLASSES} more" if len(problems) > SHOWN_CLASSES else ""
    return f"{len(problems)} of {count} classes have no synset yet: {', '.join(named)}{more}"


def _report(problems: list[str], count: int, example: str) -> str:
    shown = "\n  ".join(problems[:SHOWN_PROBLEMS])
    more = f"\n  … and {len(problems) - SHOWN_PROBLEMS} more" if len(problems) > SHOWN_PROBLEMS else ""
    return (
        f"{len(problems)} of {count} classes have no synset yet:\n  {shown}{more}\n"
        f"name one for every class that is a word: synsets={{{example!r}: 'lemma.n.NN', …}} in the study's base, or "
        f"--set {_setting(example)} …"
    )


def _setting(name: str) -> str:
    """The override that names a class's synset, as a shell takes it; in a dotted path a dot parts two names."""
    path = f"synsets.{name}=lemma.n.NN"
    if re.search(r"[.=]", name) or name != name.strip():
        path = f"synsets={{{json.dumps(name, ensure_ascii=False)}: lemma.n.NN}}"
    return f"'{path}'" if "'" not in path else shlex.quote(path)
