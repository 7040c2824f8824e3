"""Similarity of WordNet synsets: one C×C matrix a measure, computed at once from ancestor distances."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from models.registry import Registry
from study.semantics.classes import hierarchy_of
from study.semantics.wordnet import MAX_DEPTH, NOUN_SYNSETS, Hierarchy

Matrix = NDArray[np.float64]

MEASURES = Registry("similarity measure")
"""Measures by name; an entry maps the Ancestry of C synsets to its [C, C] matrix."""


def similarity_matrix(synsets: Sequence[str], measure: str = "wup") -> Matrix:
    """Pairwise similarity of C synsets, given as names (`dog.n.01`) or wnids (`n02084071`).

    Returns [C, C], symmetric except for `wup_nltk`; larger is nearer in every measure. Raises ValueError for an
    unknown measure or synset.
    """
    return MEASURES[measure](Ancestry(*hierarchy_of(synsets)))


class Ancestry:
    """C synsets (rows of a hierarchy), their A ancestors, themselves included, and the ways up.

    `ancestors` are A hierarchy rows in the order of their names, `own` [C] is each synset's index among them, and
    `edges_up` [C, A] the fewest edges from synset to ancestor, inf where it is none. An array "per ancestor" is [A].
    """

    def __init__(self, hierarchy: Hierarchy, rows: Sequence[int]) -> None:
        ascents = [hierarchy.ascent(row) for row in rows]
        self.hierarchy = hierarchy
        self.ancestors = sorted({a for ascent in ascents for a in ascent}, key=hierarchy.names.__getitem__)
        self._index = {row: index for index, row in enumerate(self.ancestors)}
        self.own = np.array([self._index[row] for row in rows])
        self.edges_up = np.full((len(rows), len(self.ancestors)), np.inf)
        for edges, ascent in zip(self.edges_up, ascents, strict=True):
            edges[[self._index[a] for a in ascent]] = list(ascent.values())
        self.beneath = [np.flatnonzero(column) for column in np.isfinite(self.edges_up.T)]  # A times positions

    @cached_property
    def depth(self) -> NDArray[np.intp]:
        """Per ancestor: edges of its longest path to the root."""
        return np.array([self.hierarchy.depth(row) for row in self.ancestors])

    @cached_property
    def min_depth(self) -> NDArray[np.intp]:
        """Per ancestor: edges of its shortest path to the root."""
        return np.array([self.hierarchy.min_depth(row) for row in self.ancestors])

    @cached_property
    def hyponyms(self) -> NDArray[np.intp]:
        """Per ancestor: descendants in the full WordNet."""
        return np.array([self.hierarchy.hyponyms[row] for row in self.ancestors])

    def greatest_common(self, value: NDArray[np.intp]) -> NDArray[np.int32]:
        """[C, C]: the common ancestor for which a value [A] is greatest; ties go to the first name."""
        greatest = np.zeros((len(self.own), len(self.own)), dtype=np.int32)
        for ancestor in np.lexsort((-np.arange(len(value)), value)):  # the last to write wins
            greatest[np.ix_(self.beneath[ancestor], self.beneath[ancestor])] = ancestor
        return greatest

    @cached_property
    def path_edges(self) -> Matrix:
        """[C, C]: fewest edges between two synsets over a common ancestor."""
        edges = np.full((len(self.own), len(self.own)), np.inf)
        for beneath, up in zip(self.beneath, self.edges_up.T, strict=True):
            block = np.ix_(beneath, beneath)
            edges[block] = np.minimum(edges[block], up[beneath, None] + up[beneath])
        return edges

    @cached_property
    def path_edges_to_ancestors(self) -> Matrix:
        """[A, C]: fewest edges from an ancestor to each synset beneath it, over a common ancestor of both."""
        edges = np.full(self.edges_up.T.shape, np.inf)
        for index, (row, beneath) in enumerate(zip(self.ancestors, self.beneath, strict=True)):
            ascent = self.hierarchy.ascent(row)
            over = np.array([self._index[a] for a in ascent])
            edges[index, beneath] = (self.edges_up[np.ix_(beneath, over)] + list(ascent.values())).min(axis=1)
        return edges


@MEASURES.register("lca_depth")
def lca_depth(ancestry: Ancestry) -> Matrix:
    """Depth of the deepest common ancestor, in edges (0 to 19): the measure of Cai et al. 2020.

    depth = longest hypernym path to entity.n.01. Source: Cai et al. 2020, arXiv 2010.06682, section on semantic
    similarity.
    """
    return ancestry.depth[ancestry.greatest_common(ancestry.depth)].astype(np.float64)


@MEASURES.register("path")
def path(ancestry: Ancestry) -> Matrix:
    """1 / (1 + d), d = fewest edges between the two over a common ancestor; in (0, 1], 1 for the same synset.

    Source: Rada et al. 1989, as `path_similarity` of NLTK, with which it agrees.
    """
    return 1 / (1 + ancestry.path_edges)


@MEASURES.register("wup")
def wup(ancestry: Ancestry) -> Matrix:
    """2 (depth(LCA) + 1) / (depth(i) + 1 + depth(j) + 1), with one depth throughout; in (0, 1], 1 for the same synset.

    Source: Wu & Palmer 1994, arXiv cmp-lg/9406033; depth and LCA as in `lca_depth`.
    """
    nodes = 1 + ancestry.depth[ancestry.own]
    return 2 * (1 + lca_depth(ancestry)) / (nodes[:, None] + nodes)


@MEASURES.register("wup_nltk")
def wup_nltk(ancestry: Ancestry) -> Matrix:
    """NLTK's Wu–Palmer: the LCA by shortest, its depth by longest path, so that a synset may differ from itself.

    2 n / (2 n + d(i, LCA) + d(j, LCA)), n = nodes of the longest path to the LCA. The LCA is the common ancestor of
    greatest *shortest* path to the root; among equals synset i itself, else the first by name, which makes the
    measure asymmetric. Source: `Synset.wup_similarity` of NLTK 3.9.
    """
    lca = ancestry.greatest_common(ancestry.min_depth)
    for i, own in enumerate(ancestry.own):
        beneath = ancestry.beneath[own]
        lca[i, beneath[ancestry.min_depth[lca[i, beneath]] == ancestry.min_depth[own]]] = own
    nodes = 1 + ancestry.depth[lca]
    each = np.arange(len(lca))
    edges = ancestry.path_edges_to_ancestors
    return 2 * nodes / (2 * nodes + edges[lca, each[:, None]] + edges[lca, each])


@MEASURES.register("lch")
def lch(ancestry: Ancestry) -> Matrix:
    """−ln((d + 1) / (2 · 20)), d as in `path`, 20 = depth of the noun hierarchy in nodes; in nats, at most 3.69.

    Source: Leacock & Chodorow 1998. NLTK counts the depth in edges, 19, and so is lower by ln(20/19).
    """
    return -np.log((ancestry.path_edges + 1) / (2 * MAX_DEPTH))


@MEASURES.register("lin")
def lin(ancestry: Ancestry) -> Matrix:
    """2 IC(a) / (IC(i) + IC(j)), a = most informative common ancestor; in [0, 1], 1 for the same synset.

    IC(s) = 1 − ln(hyponyms(s) + 1) / ln(82115), from the hierarchy alone. Sources: Lin 1998; intrinsic information
    content: Seco, Veale & Hayes 2004, equation 2.
    """
    information = 1 - np.log(ancestry.hyponyms + 1) / np.log(NOUN_SYNSETS)
    own = information[ancestry.own]
    shared = information[ancestry.greatest_common(-ancestry.hyponyms)]
    total = own[:, None] + own
    return np.divide(2 * shared, total, out=np.ones_like(total), where=total > 0)  # the root and itself: 1
