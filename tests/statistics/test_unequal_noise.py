"""Studies that run until their claims are decided, one of whose cells has more noise than the others."""

import numpy as np
import pytest

from study.analysis.anytime import p_values
from study.claims import CLAIMS
from tests.claims.test_known_effects import BETTER
from tests.claims.test_looks import OWN
from tests.statistics.measured import MANY, STUDIES, Measured
from tests.statistics.test_until_decided import MOST, of_noise, verdicts

pytestmark = pytest.mark.timeout(3_000)


def test_a_loud_cell_at_any_look(measured: Measured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CLAIMS, "_entries", {BETTER: CLAIMS[BETTER]})
    wrong = [verdicts(of_noise(repetition, loud=1)) != ["undecided"] for repetition in range(STUDIES)]
    measured.size(
        "until decided: a verdict on a claim without effect, one of whose cells is loud",
        f"10 cells × {OWN} seeds, then to {MOST}, one with 5 times the noise",
        wrong,
    )


@pytest.mark.parametrize(("effect", "level", "promised"), [(2.0, 0.05, 0.95), (4.0, 0.05, 0.95), (4.0, 0.005, 0.95)])
def test_equal_noise_keeps_its_power(measured: Measured, effect: float, level: float, promised: float) -> None:
    """Of the differences of two cells by seed, whatever other cells there are."""
    differences = effect + np.sqrt(2) * np.random.default_rng(0).normal(size=(MANY, MOST))
    decided = np.full(MANY, MOST + 1)
    for seeds in range(MOST, OWN - 1, -1):
        seen = differences[:, :seeds]
        ratio = seen.mean(axis=1) / (seen.std(axis=1, ddof=1) / np.sqrt(seeds))
        decided[(ratio > 0) & (p_values(abs(ratio), seeds - 1, seeds) <= level)] = seeds
    mean = np.minimum(decided, MOST).mean()
    measured.power(
        f"until decided: an effect of {effect:g} σ at p ≤ {level:.1%} is decided; with {mean:.1f} seeds on average",
        f"2 cells × {OWN} seeds, then to {MOST}",
        decided <= MOST,
        promised=promised,
    )
