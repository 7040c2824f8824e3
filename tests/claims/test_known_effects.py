"""Studies of known truth get the right verdicts; tests/statistics/test_claims.py has 1,000 of each."""

from study.claims import findings
from tests.claims.studies import grid, study_of

BETTER, EQUAL, WORSE = "chuang2020_gain", "cai2020_hardest_are_collisions", "robinson2021_gain"
SEVERAL = [
    *grid(k=(64, 256), negatives=("all",), objective=("nt_xent", "debiased", "hard")),
    *grid(k=(64, 256), negatives=("without_hardest_0.1pct", "without_same_class"), objective=("nt_xent",)),
]


def verdicts(repetition, effect, **options):
    """Of a study in which `debiased` is better by the effect and `hard` worse; dropping the hardest 0.1 % and dropping
    the anchor's class gain the same."""
    gains = {"debiased": effect, "hard": -effect}
    means = [50 + gains.get(cell["objective"], 0) + 2 * (cell["negatives"] != "all") for cell in SEVERAL]
    found = findings(study_of(SEVERAL, means, **{"noise": 0.3, "repetition": repetition, **options}))
    return {one.name: one.verdict for one in found}


def test_better_equal_and_worse_are_told():
    found = [verdicts(repetition, 2.0) for repetition in range(25)]
    right = {BETTER: "supported", EQUAL: "supported", WORSE: "contradicted"}
    for name, verdict in right.items():
        assert sum(one[name] == verdict for one in found) >= 24, name


def test_no_effect_is_given_no_verdict():
    found = [verdicts(repetition, 0.0) for repetition in range(40)]
    wrong = sum(one[BETTER] != "undecided" or one[WORSE] != "undecided" for one in found)
    assert wrong <= 6  # more in 1 % of such tests, where 5 % are promised
    assert wrong >= 1  # an interval that is never wrong is too wide
