"""WordNet semantics of classes, and statistics of negatives: numpy arrays in, plain numbers and tables out."""

from study.semantics.class_semantics import MEASURE_NAMES, ClassSemantics, class_semantics
from study.semantics.classes import CLASS_MAPS, UnresolvedClasses, resolve
from study.semantics.selection import pair_mass, selection_statistics
from study.semantics.similarity import MEASURES, similarity_matrix
from study.semantics.statistics import NegativeStatistics, negative_statistics
from study.semantics.tree import TreeOrder, tree_order

__all__ = [
    "CLASS_MAPS",
    "MEASURES",
    "MEASURE_NAMES",
    "ClassSemantics",
    "NegativeStatistics",
    "TreeOrder",
    "UnresolvedClasses",
    "class_semantics",
    "negative_statistics",
    "pair_mass",
    "resolve",
    "selection_statistics",
    "similarity_matrix",
    "tree_order",
]
