"""The meaning of a trial's classes: a synset each, found or asked for before anything starts."""

import hashlib
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path

from study.data import DataShape
from study.data.cache import cache_root, check_cache
from study.semantics import (
    MEASURE_NAMES,
    ClassSemantics,
    UnresolvedClasses,
    as_map,
    hierarchy_of,
    plain_word,
    semantics_of,
    synsets_of,
    wnid_in,
)
from study.semantics.similarity import Matrix
from study.semantics.word_vectors import word_similarity
from study.storage.store import write_atomically

_SHOWN = 5


@dataclass(frozen=True)
class Meaning:
    """The synsets of the classes, or why there are none."""

    synsets: tuple[str, ...] = ()
    """in the order of the labels; empty where the semantic part is off"""
    given: list[list[str]] | None = None
    """[class, synset] of those that the config names; as a list it is one value wherever configs are shown"""
    read: tuple[tuple[str, str], ...] = ()
    """(class, synset) of those whose names hold more than a wnid or a word"""
    off: str = ""
    """why there are none"""
    remedy: str = ""
    """what to type to have them, where that is known"""
    declined: bool = False
    """whether the config does without them"""
    words: Matrix | None = field(default=None, compare=False)
    """[C, C]: cosine of the word vectors of the classes' names, where the config names a file of them"""
    wordless: tuple[str, ...] = ()
    """classes that the file has no vector of"""

    def with_words(self, path: str | None, classes: Sequence[str]) -> "Meaning":
        """The same with the similarity of the classes' names. Raises ValueError for a file that has none."""
        if path is None:
            return self
        if self.off:
            raise ValueError(f"they are held against WordNet, which is off ({self.off}); leave word_vectors out")
        words, missing = word_similarity(path, self.semantics(tuple(classes), measures=()).names)
        return replace(self, words=words, wordless=missing)

    def semantics(self, classes: tuple[str, ...], *, measures: Sequence[str] = MEASURE_NAMES) -> ClassSemantics:
        """Names, synsets and a similarity matrix a measure; names alone where the semantic part is off."""
        return semantics_of(classes, self.synsets, measures=measures) if self.synsets else ClassSemantics(classes)

    @property
    def note(self) -> str:
        """Remark of a plan; empty where all is on and every name is its own synset's."""
        if self.off:
            told = [f"statistics of what negatives mean are off: {self.off}"]
            told += [f"  to have them: {self.remedy}", "  to do without: --set synsets={}"] if self.remedy else []
            return "" if self.declined else "\n  ".join(told)
        shown = ", ".join(f"{name} = {synset}" for name, synset in self.read[:_SHOWN])
        more = f" and {len(self.read) - _SHOWN} more" if len(self.read) > _SHOWN else ""
        read = f"synsets read off class names: {shown}{more}; for others set synsets" if self.read else ""
        missing = f"no word vectors of {', '.join(self.wordless)}" if self.wordless else ""
        return "; ".join(filter(None, [read, missing]))


def find_meaning(shape: DataShape, *, dataset: str, mapping: Mapping[str, str] | None = None) -> Meaning:
    """Find the synset of every class: in the user's mapping, the data set's map, or by the class's own name.

    Raises ValueError for a mapping that is wrong, misses classes, or is given for data without labels. Without a
    mapping, classes that no synset is known of turn the semantic part off; an empty one says that this is wanted.
    """
    if not shape.labelled:
        if mapping:
            raise ValueError("the data has no labels, so synsets change nothing; leave synsets out")
        return Meaning(off="the data has no labels")
    try:
        synsets = synsets_of(shape.class_names, dataset=dataset, mapping=mapping)
        hierarchy_of(synsets)
    except UnresolvedClasses as error:
        if mapping:
            raise
        return _without(error, shape.class_names, dataset, declined=mapping is not None)
    pairs, given = list(zip(shape.class_names, synsets, strict=True)), mapping or {}
    read = tuple((name, synset) for name, synset in pairs if name not in given and _holds_more(name))
    return Meaning(synsets, [[name, synset] for name, synset in pairs if name in given] or None, read)


def _without(error: UnresolvedClasses, classes: tuple[str, ...], dataset: str, *, declined: bool) -> Meaning:
    """No meaning; with what to type for it where that can be written down."""
    if not error.brief:
        return Meaning(off=str(error), declined=declined)
    try:
        file = shlex.quote(str(_proposed(cache_root() / "synsets", classes, dataset)))
    except OSError:
        return Meaning(off=str(error), declined=declined)
    remedy = f'look over the senses in {file}, then --set "synsets=$(grep -v ^# {file})"'
    return Meaning(off=error.brief, remedy=remedy, declined=declined)


@cache
def _proposed(folder: Path, classes: tuple[str, ...], dataset: str) -> Path:
    """A file with a synset for each class to look over; one that is there is the user's."""
    text = as_map(classes, dataset=dataset)
    file = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:12]}.yaml"
    if not file.exists():
        check_cache(folder)
        write_atomically(file, text)
    return file


def _holds_more(name: str) -> bool:
    return wnid_in(name) not in (None, name) or plain_word(name) != name
