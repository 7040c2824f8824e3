"""The meaning of a data set's classes: names, synsets and similarity matrices."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from study.semantics.classes import hierarchy_of, synsets_of, wnid_in
from study.semantics.similarity import MEASURES, Ancestry, Matrix

MEASURE_NAMES = ("wup", "lca_depth", "path", "lch", "lin", "wup_nltk")
"""The measures in the order of their tables and metrics; class pairs are ranked by the first."""


@dataclass(frozen=True, eq=False)
class ClassSemantics:
    """C classes; without synsets (`ClassSemantics(names)`) only same-class shares and ranks are known of them."""

    names: tuple[str, ...]
    """As people read them: the class, or its synset's name where the class is a wnid."""
    synsets: tuple[str, ...] = ()
    similarities: Mapping[str, Matrix] = field(default_factory=dict)
    """Measure → float64 [C, C]."""


def class_semantics(
    classes: Sequence[str],
    *,
    dataset: str | None = None,
    mapping: Mapping[str, str] | None = None,
    measures: Sequence[str] = MEASURE_NAMES,
) -> ClassSemantics:
    """The classes with their synsets, found as by `synsets_of`, and one similarity matrix a measure."""
    return semantics_of(classes, synsets_of(classes, dataset=dataset, mapping=mapping), measures=measures)


def semantics_of(
    classes: Sequence[str], synsets: Sequence[str], *, measures: Sequence[str] = MEASURE_NAMES
) -> ClassSemantics:
    """The classes with these synsets, one each, and one similarity matrix a measure."""
    ancestry = Ancestry(*hierarchy_of(synsets))
    names = tuple(s if wnid_in(name) == name.lower() else name for name, s in zip(classes, synsets, strict=True))
    return ClassSemantics(names, tuple(synsets), {measure: MEASURES[measure](ancestry) for measure in measures})
