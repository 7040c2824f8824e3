"""Classes in the order of the WordNet tree, in few groups that have a name."""

from collections.abc import Sequence
from dataclasses import dataclass

from study.semantics.classes import hierarchy_of
from study.semantics.wordnet import Hierarchy


@dataclass(frozen=True)
class TreeOrder:
    """Classes in the order of the WordNet tree, in consecutive groups of one common ancestor each."""

    order: tuple[int, ...]
    """Class indices, related classes side by side."""
    groups: tuple[tuple[str, int], ...]
    """(ancestor's or class's synset, number of classes) along `order`."""


def tree_order(synsets: Sequence[str], *, limit: int = 24) -> TreeOrder:
    """Order the classes by their longest hypernym paths and cut the tree into at most `limit` groups.

    Starting from one group, the largest that can be split within the limit is split where its paths part, again and
    again: so 10 classes stay single, and 1,000 become a few groups that have a name.
    """
    hierarchy, rows = hierarchy_of(synsets)
    paths = [_names(hierarchy, row) for row in rows]
    order = tuple(sorted(range(len(paths)), key=paths.__getitem__))
    groups = [list(order)]
    while splits := [
        (group, parts) for group in groups if 1 < len(parts := _split(group, paths)) <= limit - len(groups) + 1
    ]:
        largest, parts = max(splits, key=lambda split: len(split[0]))
        at = groups.index(largest)
        groups[at : at + 1] = parts
    return TreeOrder(order, tuple((_shared([paths[c] for c in group])[-1], len(group)) for group in groups))


def _names(hierarchy: Hierarchy, row: int) -> tuple[str, ...]:
    return tuple(hierarchy.names[ancestor] for ancestor in hierarchy.path(row))


def _shared(paths: Sequence[tuple[str, ...]]) -> tuple[str, ...]:
    """The longest common beginning of the paths."""
    first, last = min(paths), max(paths)
    length = next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))
    return first[:length]


def _split(group: Sequence[int], paths: Sequence[tuple[str, ...]]) -> list[list[int]]:
    """The group's classes by the next ancestor beneath the last that they share."""
    level = len(_shared([paths[c] for c in group]))
    parts: dict[tuple[str, ...], list[int]] = {}
    for c in group:
        parts.setdefault(paths[c][: level + 1], []).append(c)
    return list(parts.values())
