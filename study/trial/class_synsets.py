"""The meaning of a trial's classes: a synset each, found or asked for before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from study.data import DataShape
from study.semantics import (
    MEASURE_NAMES,
    ClassSemantics,
    UnresolvedClasses,
    hierarchy_of,
    plain_word,
    semantics_of,
    synsets_of,
    wnid_in,
)
from study.semantics.similarity import Matrix
from study.semantics.word_vectors import word_similarity

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
    """why there are none, and what to type next"""
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
            return f"statistics of what negatives mean are off: {self.off}"
        shown = ", ".join(f"{name} = {synset}" for name, synset in self.read[:_SHOWN])
        more = f" and {len(self.read) - _SHOWN} more" if len(self.read) > _SHOWN else ""
        read = f"synsets read off class names: {shown}{more}; for others set synsets" if self.read else ""
        missing = f"no word vectors of {', '.join(self.wordless)}" if self.wordless else ""
        return "; ".join(filter(None, [read, missing]))


def find_meaning(shape: DataShape, *, dataset: str, mapping: Mapping[str, str] | None = None) -> Meaning:
    """Find the synset of every class: in the user's mapping, the data set's map, or by the class's own name.

    Raises ValueError for a mapping that is wrong, misses classes, or is given for data without labels. Without a
    mapping, classes that no synset is known of turn the semantic part off.
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
        return Meaning(off=str(error))
    pairs, given = list(zip(shape.class_names, synsets, strict=True)), mapping or {}
    read = tuple((name, synset) for name, synset in pairs if name not in given and _holds_more(name))
    return Meaning(synsets, [[name, synset] for name, synset in pairs if name in given] or None, read)


def _holds_more(name: str) -> bool:
    return wnid_in(name) not in (None, name) or plain_word(name) != name
