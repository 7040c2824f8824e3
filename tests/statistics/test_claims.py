"""Verdicts on claims: studies of known truth."""

import numpy as np
import pytest

from tests.claims.test_known_effects import BETTER, EQUAL, WORSE, verdicts
from tests.statistics.measured import STUDIES, Measured

WHERE = "10 cells × 3 seeds, 6 claims"


@pytest.fixture(scope="module")
def planted() -> list[dict[str, str]]:
    return [verdicts(repetition, 2.0) for repetition in range(STUDIES)]


@pytest.mark.parametrize(
    ("claim", "verdict", "truth"),
    [(BETTER, "supported", "better by 2 %"), (EQUAL, "supported", "equal"), (WORSE, "contradicted", "worse by 2 %")],
)
def test_planted_effects(
    measured: Measured, planted: list[dict[str, str]], claim: str, verdict: str, truth: str
) -> None:
    right = [found[claim] == verdict for found in planted]
    measured.power(f"verdict on what is {truth}, noise 0.3 %", WHERE, right, promised=0.95)


def test_no_effect(measured: Measured) -> None:
    found = [verdicts(repetition, 0.0) for repetition in range(STUDIES)]
    wrong = [one[BETTER] != "undecided" or one[WORSE] != "undecided" for one in found]
    measured.size("any verdict on two claims without effect", WHERE, wrong)


def test_no_effect_with_a_loud_cell(measured: Measured) -> None:
    found = [verdicts(repetition, 0.0, loud=1) for repetition in range(STUDIES)]  # the debiased cell at K = 64
    wrong = np.array([[one[name] != "undecided" for name in (BETTER, WORSE)] for one in found])
    measured.tell(
        "verdict on a claim without effect: its cell is loud", f"{WHERE}, one with 5 times the noise", wrong[:, 0]
    )
    measured.tell(
        "verdict on a claim without effect: another's is", f"{WHERE}, one with 5 times the noise", wrong[:, 1]
    )
