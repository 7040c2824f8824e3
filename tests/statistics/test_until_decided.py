"""Studies that run until their claims are decided, looked at after every seed from the third to the twentieth."""

from bisect import bisect_left

import numpy as np
import pytest
from scipy.stats import nct, t

from study.claims import CLAIMS, findings
from study.results import Results
from tests.claims.studies import grid, study_of
from tests.claims.test_known_effects import BETTER, EQUAL, SEVERAL, WORSE
from tests.claims.test_looks import OWN, looked_at
from tests.statistics.measured import STUDIES, Measured

pytestmark = pytest.mark.timeout(3_000)  # 2,000 studies with 18 looks each

RUNS = 2 * STUDIES
MOST = 20
PAIR = grid(objective=("nt_xent", "debiased"))
AMONG = [*grid(k=(64,), objective=("nt_xent", "debiased")), *grid(k=[2**i for i in range(7, 15)], objective=("hard",))]


@pytest.fixture
def claims(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    monkeypatch.setattr(CLAIMS, "_entries", {name: CLAIMS[name] for name in request.param})


def verdicts(results: Results, seeds: int = MOST) -> list[str]:
    """As they stand once so many seeds have been looked at: what was decided before stays."""
    return [
        one.verdict for one in findings(Results(results.frame[results.frame["seed"] < seeds].reset_index(drop=True)))
    ]


def of_noise(repetition: int, loud: int = -1) -> Results:
    return looked_at(study_of(SEVERAL, [50.0] * 10, seeds=MOST, noise=0.3, repetition=repetition, loud=loud))


@pytest.mark.parametrize("claims", [(BETTER, WORSE)], indirect=True)
def test_no_effect_is_given_a_verdict_at_any_look(measured: Measured, claims: None) -> None:
    wrong = [set(verdicts(of_noise(repetition))) != {"undecided"} for repetition in range(RUNS)]
    measured.size(
        "until decided: any verdict on two claims without effect, at any look",
        f"10 cells × {OWN} seeds, then to {MOST}",
        wrong,
    )


@pytest.mark.parametrize("claims", [(BETTER,)], indirect=True)
def test_no_effect_in_two_cells_is_given_a_verdict_at_any_look(measured: Measured, claims: None) -> None:
    found = (looked_at(study_of(PAIR, [50.0] * 2, seeds=MOST, noise=1.0, repetition=i)) for i in range(RUNS))
    wrong = [verdicts(results) != ["undecided"] for results in found]
    measured.size(
        "until decided: a verdict on a claim without effect, at any look",
        f"2 cells × {OWN} seeds, then to {MOST}",
        wrong,
    )


@pytest.mark.parametrize("claims", [(EQUAL,)], indirect=True)
def test_an_effect_at_the_margin_is_not_equal_at_any_look(measured: Measured, claims: None) -> None:
    means = [50.0 + (cell["negatives"] == "without_hardest_0.1pct") for cell in SEVERAL]
    found = (looked_at(study_of(SEVERAL, means, seeds=MOST, noise=0.5, repetition=i)) for i in range(STUDIES))
    wrong = [verdicts(results) != ["undecided"] for results in found]
    measured.size(
        "until decided: a verdict on an equivalence whose effect is its margin",
        f"10 cells × {OWN} seeds, then to {MOST}",
        wrong,
    )


@pytest.mark.parametrize("claims", [(BETTER,)], indirect=True)
@pytest.mark.parametrize(("cells", "effect"), [(PAIR, 2.0), (AMONG, 2.0)])
def test_an_effect_is_decided_and_with_how_many_seeds(
    measured: Measured, claims: None, cells: list[dict[str, object]], effect: float
) -> None:
    means = [50.0 + effect * (cell["objective"] == "debiased") for cell in cells]
    counts = []
    for repetition in range(STUDIES // 2):
        results = looked_at(study_of(cells, means, seeds=MOST, noise=1.0, repetition=repetition))
        told = bisect_left(range(OWN, MOST + 1), True, key=lambda seeds: verdicts(results, seeds) == ["supported"])
        counts.append(OWN + told)
    decided = np.array(counts) <= MOST
    seeds = np.minimum(counts, MOST).mean()
    fixed = same_power(len(cells), effect, min(decided.mean(), 0.995))
    saved = 1 - (len(cells) * OWN + 2 * (seeds - OWN)) / (len(cells) * fixed)
    what = (
        f"until decided: an effect of {effect:g} σ is decided; with {seeds:.1f} seeds on average, where a fixed number "
        f"of that power is {fixed}: {saved:.0%} of trials saved"
    )
    where = f"{len(cells)} cells × {OWN} seeds, then 2 cells to {MOST}"
    measured.power(what, where, decided, promised=0.95)


def same_power(cells: int, effect: float, power: float) -> int:
    """The fixed number of seeds of all cells with which Student's t finds a difference of so many σ that often."""

    def of(seeds: int) -> float:
        df = (cells - 1) * (seeds - 1)
        bar, apart = t.isf(0.025, df), effect / np.sqrt(2 / seeds)
        return float(nct.sf(bar, df, apart) + nct.cdf(-bar, df, apart))

    return next(seeds for seeds in range(2, 200) if of(seeds) >= power)
