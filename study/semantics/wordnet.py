"""WordNet 3.0 nouns: the embedded extract of the hypernym hierarchy, and a full WordNet where the user has one."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, cached_property
from importlib.resources import files
from typing import Any

from study.semantics.wordnet_files import find_wordnet, read_nouns

NOUN_SYNSETS = 82_115
"""Noun synsets of WordNet 3.0, the root included."""

MAX_DEPTH = 20
"""Depth of the noun hierarchy in nodes: its longest hypernym path has 19 edges."""


@dataclass(frozen=True, eq=False)
class Hierarchy:
    """Noun synsets, one a row, closed under hypernyms; instance hypernyms count as hypernyms."""

    names: tuple[str, ...]
    """`lemma.n.NN`: the synset's first lemma and its sense number, as NLTK names it."""
    offsets: tuple[int, ...]
    """Byte offset in WordNet 3.0's `data.noun`; the wnid is `n` and this in eight digits."""
    parents: tuple[tuple[int, ...], ...]
    """Rows of the direct hypernyms."""
    hyponyms: tuple[int, ...]
    """Number of distinct descendants in the full WordNet, the synset itself not counted."""

    @cached_property
    def row_of(self) -> dict[str, int]:
        """Row by name and by wnid."""
        rows = {name: row for row, name in enumerate(self.names)}
        return rows | {f"n{offset:08d}": row for row, offset in enumerate(self.offsets)}

    @cached_property
    def _ascents(self) -> dict[int, dict[int, int]]:
        return {}

    def ascent(self, row: int) -> dict[int, int]:
        """Every ancestor of the row, itself included, with the fewest edges up to it."""
        if row not in self._ascents:
            up = {row: 0}
            for parent in self.parents[row]:
                for ancestor, edges in self.ascent(parent).items():
                    up[ancestor] = min(edges + 1, up.get(ancestor, MAX_DEPTH))
            self._ascents[row] = up
        return self._ascents[row]

    @cached_property
    def _depths(self) -> dict[int, int]:
        return {}

    def depth(self, row: int) -> int:
        """Edges of the longest hypernym path from the row to entity.n.01."""
        if row not in self._depths:
            self._depths[row] = max((self.depth(parent) + 1 for parent in self.parents[row]), default=0)
        return self._depths[row]

    def min_depth(self, row: int) -> int:
        """Edges of the shortest hypernym path from the row to entity.n.01."""
        return self.ascent(row)[self.parents.index(())]

    def path(self, row: int) -> tuple[int, ...]:
        """Rows of the longest hypernym path from entity.n.01 down to the row; ties go to the first name."""
        if not self.parents[row]:
            return (row,)
        parent = min(self.parents[row], key=lambda p: (-self.depth(p), self.names[p]))
        return (*self.path(parent), row)


@dataclass(frozen=True, eq=False)
class Lexicon:
    """Words and their noun senses."""

    senses: Mapping[str, tuple[str, ...]]
    """Lemma (lower case, underscores) → names of its noun synsets, most frequent sense first."""
    glosses: Mapping[str, str]
    """Name of a synset → its definition."""

    @cached_property
    def by_initial(self) -> dict[str, list[str]]:
        """Lemmas by their first letter."""
        found: dict[str, list[str]] = {}
        for lemma in self.senses:
            found.setdefault(lemma[:1], []).append(lemma)
        return found


@cache
def embedded() -> Hierarchy:
    """The extract that comes with the package: the hypernym closure of every class in `classes.json`."""
    rows = _read("hierarchy.json.gz")
    names, offsets, parents, hyponyms = zip(*rows, strict=True)
    return Hierarchy(names, offsets, tuple(map(tuple, parents)), hyponyms)


@cache
def embedded_lexicon() -> Lexicon:
    """All noun senses, in the extract or not, of every word that names a synset of the extract."""
    lexicon = _read("lexicon.json.gz")
    return Lexicon({lemma: tuple(names) for lemma, names in lexicon["senses"].items()}, lexicon["glosses"])


@cache
def full() -> tuple[Hierarchy, Lexicon] | None:
    """The user's own full WordNet 3.0 (see `find_wordnet`), read in a few seconds; None where there is none."""
    folder = find_wordnet()
    if folder is None:
        return None
    nouns = read_nouns(folder)
    rows = {offset: row for row, offset in enumerate(nouns.offsets)}
    parents = tuple(tuple(rows[p] for p in offsets) for offsets in nouns.parents)
    return Hierarchy(nouns.names, nouns.offsets, parents, nouns.hyponyms), Lexicon(nouns.senses, nouns.glosses)


def _read(name: str) -> Any:
    return json.loads(gzip.decompress(files("study.semantics").joinpath(name).read_bytes()))
