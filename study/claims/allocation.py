"""Which seed of which cells decides most per hour of the claims that are open."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Cell = int


class Open(NamedTuple):
    """An undecided claim."""

    claim: str
    cells: frozenset[Cell]
    """that it needs, under the same seeds"""
    more: int
    """seeds that are expected to decide it, at least one"""


@dataclass(frozen=True)
class Addition:
    """Trials to be run next: a seed of some cells."""

    seed: int
    cells: tuple[Cell, ...]
    """those that lack it"""
    claims: tuple[str, ...]
    """that need no more than these, the one that asks for them first"""
    more: int
    """seeds that are expected to decide that one, this one and those under way among them"""


class Ways(NamedTuple):
    """How far an open claim is: its next seed, the cells that lack it, and how many seeds it is expected to need that
    are not under way."""

    open: Open
    seed: int
    lacking: frozenset[Cell]
    left: int


def next_seed(
    open_: Sequence[Open],
    ladder: Sequence[int],
    *,
    given: Mapping[Cell, Collection[int]],
    over: Mapping[Cell, Collection[int]],
    seconds: Mapping[Cell, float],
) -> Addition | None:
    """The seed of an open claim's cells that decides most per hour; None where each claim has all seeds of the ladder,
    or has as many under way as are expected to decide it.

    A claim takes the ladder's seeds in order. Adding its next one is worth 1/(seeds that it is expected to need yet),
    and as much for every other open claim whose next seed comes with it; that, by the seconds of the trials it takes.
    ladder: the study's own seeds, then further ones. given: the seeds of each cell that have run, run, or are about to;
    over: those with a result. seconds: of a trial of each cell.
    """
    ways = [way for one in open_ if (way := _way(one, ladder, given, over)) is not None]
    rated = [(sum(1 / way.left for way in _with(best, ways)) / _cost(best, seconds), best) for best in ways]
    if not rated:
        return None
    _, best = max(rated, key=lambda pair: pair[0])
    others = (way.open.claim for way in _with(best, ways) if way is not best)
    return Addition(best.seed, tuple(sorted(best.lacking)), (best.open.claim, *others), best.open.more)


def _way(
    one: Open, ladder: Sequence[int], given: Mapping[Cell, Collection[int]], over: Mapping[Cell, Collection[int]]
) -> Ways | None:
    """None where it has all seeds, or waits for those under way."""
    full = [seed for seed in ladder if all(seed in given.get(cell, ()) for cell in one.cells)]
    under_way = sum(any(seed not in over.get(cell, ()) for cell in one.cells) for seed in full)
    seed = next((seed for seed in ladder if seed not in full), None)
    if seed is None or not one.cells or under_way >= one.more:
        return None
    lacking = frozenset(cell for cell in one.cells if seed not in given.get(cell, ()))
    return Ways(one, seed, lacking, one.more - under_way)


def _with(best: Ways, ways: Sequence[Ways]) -> Iterator[Ways]:
    """Those whose next seed is complete with the trials of the best."""
    return (way for way in ways if way.seed == best.seed and way.lacking <= best.lacking)


def _cost(way: Ways, seconds: Mapping[Cell, float]) -> float:
    return sum(seconds.get(cell, 1.0) for cell in way.lacking)
