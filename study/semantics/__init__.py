"""WordNet semantics of classes, and statistics of negatives: numpy arrays in, plain numbers and tables out."""

from study.semantics.class_semantics import MEASURE_NAMES, ClassSemantics, class_semantics, semantics_of
from study.semantics.classes import CLASS_MAPS, UnresolvedClasses, as_map, hierarchy_of, plain_word, synsets_of, wnid_in
from study.semantics.selection import selection_statistics
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
    "as_map",
    "class_semantics",
    "hierarchy_of",
    "negative_statistics",
    "plain_word",
    "selection_statistics",
    "semantics_of",
    "similarity_matrix",
    "synsets_of",
    "tree_order",
    "wnid_in",
]
