"""Whether the same negatives are hard, query after query: the interval of the binomial null."""

import numpy as np

from study.semantics.consistency import against_null
from tests.statistics.measured import STUDIES, Measured


def test_negatives_beyond_the_interval_of_chance(measured: Measured) -> None:
    draw, trials = np.random.default_rng(0), np.full(500, 200)
    for share in (0.05, 0.001):
        beyond = [against_null(draw.binomial(trials, share), trials, share)["beyond_99"] for _ in range(STUDIES)]
        measured.size("negatives beyond the 99 % interval", f"200 queries, share {share}", beyond, promised=0.01)
