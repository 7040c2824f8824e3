"""Which cells claims compare, with which weights."""

import numpy as np
import pytest

from study.claims.cells import ALL, INFO_NCE, Cells
from study.claims.comparisons import Against, Level, Optimum, Trend, TrendOverClasses
from tests.claims.studies import grid, study_of

HARDEST = Against({"negatives": ("hardest_5pct",)}, {"negatives": ALL})


def cells_of(cells, **options):
    return Cells(study_of(cells, np.zeros(len(cells)), **options))


def told(comparison, cells):
    """Context → {cell: weight} of the only condition."""
    found = {}
    for part in comparison.parts(cells):
        (weights,) = part.weights
        found[part.where] = {cells.words(i): round(float(weights[i]), 6) for i in np.flatnonzero(weights)}
    return found


def test_a_cell_is_held_against_the_control_that_agrees_in_all_else():
    cells = cells_of(grid(k=(16, 64), negatives=("all", "hardest_5pct", "ring")))
    assert told(HARDEST, cells) == {
        "k=16": {"k=16, negatives=hardest_5pct": 1, "k=16, negatives=all": -1},
        "k=64": {"k=64, negatives=hardest_5pct": 1, "k=64, negatives=all": -1},
    }


def test_without_the_control_there_is_nothing_to_compare():
    cells = cells_of([{"k": 16, "negatives": "hardest_5pct"}, {"k": 64, "negatives": "all"}])
    assert HARDEST.parts(cells) == []
    assert HARDEST.parts(cells_of(grid(k=(16, 64)))) == []


def test_names_are_components_with_any_parameters_or_whole_values():
    cells = cells_of(grid(negatives=("all", "ring(outer=0.2)", "ring(outer=0.5)")))
    any_ring = Against({"negatives": ("ring",)}, {"negatives": ALL})
    assert set(told(any_ring, cells)) == {"negatives=ring(outer=0.2)", "negatives=ring(outer=0.5)"}
    one = Against({"negatives": ("ring(outer=0.5)",)}, {"negatives": ALL})
    assert told(one, cells) == {"": {"negatives=ring(outer=0.5)": 1, "negatives=all": -1}}


def test_of_several_controls_the_first_named_is_the_one():
    cells = cells_of(grid(objective=("info_nce", "debiased", "nt_xent")))
    found = told(Against({"objective": ("debiased",)}, {"objective": INFO_NCE}), cells)
    assert found == {"": {"objective=debiased": 1, "objective=nt_xent": -1}}


def test_two_paths_may_differ_at_once():
    cells = cells_of(grid(objective=("nt_xent", "hard"), negatives=("all", "without_same_class")))
    oracle = Against(
        {"objective": ("hard",), "negatives": ALL}, {"objective": INFO_NCE, "negatives": ("without_same_class",)}
    )
    expected = {"objective=hard, negatives=all": 1, "objective=nt_xent, negatives=without_same_class": -1}
    assert told(oracle, cells) == {"": expected}


def test_a_claim_is_about_contrastive_learning_by_info_nce_unless_it_names_another():
    cells = cells_of(grid(method=("simclr", "supervised"), objective=("default", "hard"), negatives=("all", "ring")))
    assert [part.where for part in Level().parts(cells)] == ["method=simclr, objective=default, negatives=all"]


def test_cells_that_met_no_negatives_are_none_of_contrastive_learning():
    cells = cells_of(grid(temperature=(0.1, 0.5)), **{"train.k": [64, 0]})
    assert [part.where for part in Level().parts(cells)] == ["temperature=0.1"]


def test_a_trend_is_the_least_squares_slope_over_doublings():
    ks, means = (16, 64, 512), np.array([40.0, 47.0, 45.0])
    cells = cells_of(grid(k=ks))
    (part,) = Trend("k").parts(cells)
    assert part.weights @ means == pytest.approx(np.polyfit(np.log2(ks), means, 1)[0])
    assert part.weights.sum() == pytest.approx(0)


def test_a_trend_of_differences_leaves_what_both_have_in_common():
    cells = cells_of(grid(k=(16, 64, 256), objective=("nt_xent", "decoupled")))
    of = Against({"objective": ("decoupled",)}, {"objective": INFO_NCE})
    (part,) = Trend("k", of=of).parts(cells)
    common, gain = np.array([40.0, 45, 47]), np.array([6.0, 3, 1])
    means = np.stack([common, common + gain], axis=1).ravel()
    assert part.weights @ means == pytest.approx(np.polyfit([4, 6, 8], gain, 1)[0])


def test_schedules_and_defaults_are_no_numbers_of_a_trend():
    cells = cells_of(grid(temperature=("0.1", "cosine(start=0.1, end=1)", "0.4")))
    (part,) = Trend("temperature").parts(cells)
    assert part.weights.tolist() == [[-0.5, 0, 0.5]]
    assert Trend("temperature").parts(cells_of(grid(temperature=("0.1", "default")))) == []


def test_k_follows_from_the_batch_where_it_does_not_vary():
    cells = cells_of(grid(batch_size=(33, 65)))  # K = 32 and 64
    (part,) = Trend("k").parts(cells)
    assert part.weights == pytest.approx(np.array([[-1, 1]]))


def test_a_learning_rate_that_is_made_from_the_batch_is_no_other_context():
    rate = "optimizer.learning_rate"
    cells = cells_of([{"batch_size": b, rate: b / 256} for b in (33, 65)])
    (part,) = Trend("k").parts(cells)
    assert part.weights == pytest.approx(np.array([[-1, 1]]))
    crossed = cells_of(grid(**{"batch_size": (33, 65), rate: (0.1, 0.2)}))
    assert [part.where for part in Trend("k").parts(crossed)] == [f"{rate}=0.1", f"{rate}=0.2"]


def test_trends_of_bounds_begin_where_the_draws_see_all_classes():
    counts = [str([100] * 10)] * 4  # C·H_C = 29.3 draws
    cells = cells_of(grid(k=(16, 28, 32, 64)), class_counts=counts)
    assert told(Trend("k", all_classes=True), cells) == {"": {"k=32": -1, "k=64": 1}}
    assert Trend("k", all_classes=True).parts(cells_of(grid(k=(16, 64)))) == []  # no classes, no draws that see all


def test_the_slopes_at_the_ends_are_those_of_the_parabola():
    ts, means = (0.05, 0.1, 0.2, 0.8), np.array([30.0, 42, 45, 38])
    cells = cells_of(grid(temperature=ts))
    (part,) = Optimum("temperature").parts(cells)
    slope = np.poly1d(np.polyfit(np.log2(ts), means, 2)).deriv()
    assert part.weights @ means == pytest.approx([slope(np.log2(0.05)), -slope(np.log2(0.8))])
    assert Optimum("temperature").parts(cells_of(grid(temperature=(0.1, 0.2)))) == []


SHARES = (0.001, 0.02, 0.05, 0.1, 0.2, 0.4)
REMOVED = Against({"negatives": ("difficulty",)}, {"negatives": ("difficulty_control",)}, alike=True)


def removed(counts, shares=SHARES):
    """Cells that remove these shares of the hardest negatives, and as many at random, on data of these class counts."""
    cells = [
        {"negatives": f"{name}(lo={share:g})"} for name in ("difficulty", "difficulty_control") for share in shares
    ]
    return cells_of([*cells, {"negatives": "all"}], class_counts=[str(counts)] * (2 * len(shares) + 1))


def test_a_control_may_have_to_have_the_parameters_of_its_cell():
    found = told(REMOVED, removed([50] * 10, (0.1, 0.2)))
    assert list(found.values()) == [
        {f"negatives=difficulty(lo={lo})": 1, f"negatives=difficulty_control(lo={lo})": -1} for lo in (0.1, 0.2)
    ]
    assert told(REMOVED, cells_of(grid(negatives=("difficulty(lo=0.1)", "difficulty_control(lo=0.2)")))) == {}


def test_an_optimum_near_one_class_has_its_end_slopes_at_a_factor_from_it():
    cells = removed([50] * 10)
    (part,) = Optimum("negatives.lo", of=REMOVED, near_one_class=4).parts(cells)
    gains, common = np.array([0.1, 0.5, 2, 3, 1, -2]), np.array([50.0, 50, 49, 48, 47, 45])
    slope = np.poly1d(np.polyfit(np.log2(SHARES), gains, 2)).deriv()
    means = np.concatenate([common + gains, common, [50.0]])
    assert part.weights @ means == pytest.approx([slope(np.log2(0.1 / 4)), -slope(np.log2(0.1 * 4))])


def test_no_optimum_is_looked_for_near_a_share_that_was_not_studied():
    near = Optimum("negatives.lo", of=REMOVED, near_one_class=4)
    assert len(near.parts(removed([50] * 100))) == 1  # from 0.0025 to 0.04
    assert near.parts(removed([50] * 1000)) == []  # from 0.00025
    assert near.parts(removed([50] * 5)) == []  # to 0.8


def test_a_trend_over_classes_is_how_much_the_slope_grows_when_they_double():
    counts = {4: str([25] * 4), 16: str([25] * 16), 20: str([200] + [1] * 19)}  # the last: 1.2 as two draws meet them
    cells = grid(k=(8, 32, 128), **{"data.classes": ("few", "many")}, temperature=(0.1, 0.5))
    of = {"few": counts[4], "many": counts[16]}
    studied = cells_of(cells, class_counts=[of[cell["data.classes"]] for cell in cells])
    found = TrendOverClasses("k").parts(studied)
    assert [part.where for part in found] == ["temperature=0.1", "temperature=0.5"]
    slopes = {("few", 0.1): 1.0, ("many", 0.1): 4.0, ("few", 0.5): 2.0, ("many", 0.5): 1.0}
    means = np.array([slopes[c["data.classes"], c["temperature"]] * np.log2(c["k"]) for c in cells])
    assert [float(part.weights[0] @ means) for part in found] == pytest.approx([3 / 2, -1 / 2])
    assert studied.classes[:1] == pytest.approx([4.0])
    assert cells_of(cells[:1], class_counts=[counts[20]]).classes == pytest.approx(219**2 / (200**2 + 19))


def test_of_one_number_of_classes_there_is_no_trend_over_them():
    cells = cells_of(grid(k=(8, 32), **{"data.size": (100, 200)}), class_counts=[str([25] * 4)] * 4)
    assert TrendOverClasses("k").parts(cells) == []
    assert TrendOverClasses("k").parts(cells_of(grid(k=(8, 32), **{"data.name": ("a", "b")}))) == []  # not known
