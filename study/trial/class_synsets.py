"""What a trial's classes mean: a synset each, found or asked for before anything starts."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from study.data import DataShape
from study.semantics import MEASURE_NAMES, ClassSemantics, UnresolvedClasses, hierarchy_of, resolve, semantics_of


@dataclass(frozen=True)
class Meaning:
    """The synsets of the classes, or why there are none."""

    synsets: tuple[str, ...] = ()
    """in the order of the labels; empty where the semantic part is off"""
    given: list[list[str]] | None = None
    """[class, synset] of those that the config names; as a list it is one value wherever configs are shown"""
    off: str = ""
    """why there are none, and what to type next"""

    def semantics(self, classes: tuple[str, ...], *, measures: Sequence[str] = MEASURE_NAMES) -> ClassSemantics:
        """Names, synsets and a similarity matrix a measure; names alone where the semantic part is off."""
        return semantics_of(classes, self.synsets, measures=measures) if self.synsets else ClassSemantics(classes)

    @property
    def note(self) -> str:
        """What a plan says of it; empty where all is on."""
        return f"statistics of what negatives mean are off: {self.off}" if self.off else ""


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
        synsets = resolve(shape.class_names, dataset=dataset, mapping=mapping)
        hierarchy_of(synsets)
    except UnresolvedClasses as error:
        if mapping:
            raise
        return Meaning(off=str(error))
    pairs = [[name, synset] for name, synset in zip(shape.class_names, synsets, strict=True) if name in (mapping or {})]
    return Meaning(synsets, pairs or None)
