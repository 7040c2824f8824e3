"""Conformance of every registered evaluation, and several made together."""

import math
import weakref
from dataclasses import replace
from itertools import chain
from typing import ClassVar

import pytest
import torch

from study.evaluation import EVALUATIONS, Blocks, Encoded, Evaluation, Findings, Metric, evaluate, reported
from study.evaluation.evaluation import FeatureViews, HeldOut, OfRepresentations
from study.evaluation.linear import Linear
from tests.evaluation.short_of_memory import ShortOfMemory
from tests.second_device import Away, SecondDevice, second_device


@pytest.fixture(params=EVALUATIONS.names())
def evaluation(request):
    return EVALUATIONS[request.param]()


def test_what_it_reports_is_declared_and_bears_its_name(evaluation, make_encoded, generator):
    found = evaluation.evaluate(make_encoded(classes=12), generator=generator)
    assert found.metrics
    assert found.metrics.keys() <= evaluation.reports.keys()
    assert all(math.isfinite(value) for value in found.metrics.values())
    names = [*evaluation.reports, *found.tables]
    assert EVALUATIONS[evaluation.name] is type(evaluation)
    assert all(name.split(".")[0] == evaluation.name for name in names)


def test_a_loss_over_draws_that_do_not_occur_is_left_out(make_encoded, generator):
    found = EVALUATIONS["bounds"]().evaluate(make_encoded(classes=2, k=48), generator=generator).metrics
    assert "bounds.sup_conditional" in found
    assert "bounds.sub_conditional" not in found  # two classes are always among 49 draws


def test_metrics_say_which_way_is_better_and_in_what_unit(evaluation):
    for metric in evaluation.reports.values():
        assert metric.direction in ("max", "min", None)
        assert metric.unit in ("%", "nats", "draws", "")
        assert metric.description


def test_same_generator_state_gives_same_numbers(evaluation, make_encoded):
    encoded = make_encoded()
    first, second = (evaluation.evaluate(encoded, generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert first == second


def test_global_generator_is_neither_read_nor_moved(evaluation, make_encoded, generator):
    encoded = make_encoded()
    before = torch.random.get_rng_state()
    evaluation.evaluate(encoded, generator=generator)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_inputs_are_left_as_they_were(evaluation, make_encoded, generator):
    encoded, untouched = make_encoded(), make_encoded()
    evaluation.evaluate(encoded, generator=generator)
    for name, value in vars(encoded).items():
        if isinstance(value, torch.Tensor):
            assert torch.equal(value, getattr(untouched, name)), name


def test_tensors_made_under_inference_mode_are_taken(evaluation, make_encoded, generator):
    with torch.inference_mode():
        encoded = make_encoded()
    assert evaluation.evaluate(encoded, generator=generator).metrics


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_it_works_where_gradients_are_off(evaluation, make_encoded, mode):
    encoded = make_encoded()
    with mode():
        within = evaluation.evaluate(encoded, generator=torch.Generator().manual_seed(3))
    assert within == evaluation.evaluate(encoded, generator=torch.Generator().manual_seed(3))


def quick(evaluation: Evaluation) -> Evaluation:
    return replace(evaluation, penalties=(0.1,)) if isinstance(evaluation, Linear) else evaluation


def moved(encoded: Encoded, there: SecondDevice) -> Encoded:
    def of(held: Encoded | HeldOut | FeatureViews) -> dict[str, torch.Tensor]:
        return {name: there.put(x) for name, x in vars(held).items() if isinstance(x, torch.Tensor)}

    parts = {name: getattr(encoded, name) for name in ("validation", "feature_views")}
    return replace(encoded, **{name: x and replace(x, **of(x)) for name, x in parts.items()}, **of(encoded))


@pytest.mark.parametrize("classes", [4, 12])
def test_on_another_device_than_the_cpu_it_finds_the_same(evaluation, classes, make_encoded):
    encoded, evaluation = make_encoded(classes=classes), quick(evaluation)
    if isinstance(evaluation, OfRepresentations):
        evaluation = replace(evaluation, representations=("features", "embeddings"))
    expected = evaluation.evaluate(encoded, generator=torch.Generator().manual_seed(3))
    with torch.no_grad(), second_device() as there:
        away = moved(encoded, there)
        assert evaluation.unavailable(away) is None
        assert evaluation.evaluate(away, generator=torch.Generator().manual_seed(3)) == expected


@pytest.mark.parametrize("name", [n for n in EVALUATIONS.names() if n != "linear"])  # its optimizer decides each step
def test_a_device_is_not_waited_for_class_by_class_or_block_by_block(name, make_encoded, monkeypatch):
    def waits(classes: int) -> int:
        with torch.no_grad(), second_device() as there:
            away = moved(make_encoded(classes=classes), there)
            EVALUATIONS[name]().unavailable(away)
            EVALUATIONS[name]().evaluate(away, generator=torch.Generator().manual_seed(3))
        return there.waits.total()

    few = waits(3)
    for module in ("knn", "geometry", "mean_classifier"):
        monkeypatch.setattr(f"study.evaluation.{module}.BLOCK", 30)
    assert waits(10) == few


def test_the_other_device_of_these_tests_refuses_what_a_gpu_refuses():
    with second_device() as there:
        x = there.put(torch.arange(4.0))
        assert isinstance(x + torch.tensor(1.0), Away)  # a number
        assert there.waits.total() == 0
        assert (x + 1).sum().item() == 10
        assert there.waits.total() == 1
        with pytest.raises(RuntimeError, match="on the same device"):
            x + torch.ones(4)
        with pytest.raises((RuntimeError, TypeError)):
            x.numpy()


def test_where_memory_runs_out_blocks_are_halved_and_the_numbers_stay(evaluation, make_encoded):
    """Every tensor here but products of two numbers of images, or of images and classes, is below that size."""
    encoded, evaluation = make_encoded(classes=12, train=300, test=200, width=4, dim=4, k=150), quick(evaluation)
    expected = evaluation.evaluate(encoded, generator=torch.Generator().manual_seed(3)).metrics
    with ShortOfMemory(2400) as machine:
        found = evaluation.evaluate(encoded, generator=torch.Generator().manual_seed(3)).metrics
    assert found == pytest.approx(expected, rel=1e-3 if evaluation.name == "linear" else 1e-5)
    assert (machine.times > 0) is (evaluation.name in ("linear", "knn", "geometry"))


def test_blocks_give_every_row_once_and_stay_halved():
    asked = []

    def work(rows: slice) -> list[int]:
        asked.append(rows.stop - rows.start)
        if rows.stop - rows.start > 3:
            raise torch.OutOfMemoryError("too many")
        return list(range(rows.start, rows.stop))

    blocks = Blocks(100)
    assert [*chain(*blocks(20, work))] == list(range(20))
    assert asked[:4] == [20, 10, 5, 2]
    asked.clear()
    assert [*chain(*blocks(5, work))] == list(range(5))
    assert asked == [2, 2, 1]
    assert list(blocks(0, work)) == []


def test_memory_that_does_not_suffice_for_a_row_is_an_error():
    def work(rows: slice) -> None:
        raise torch.OutOfMemoryError("not even one")

    with pytest.raises(torch.OutOfMemoryError, match="not even one"):
        list(Blocks(8)(8, work))


def test_what_the_work_held_is_let_go_before_the_cache_is_emptied(monkeypatch):
    held, freed = [], []

    def work(rows: slice) -> int:
        x = torch.ones(rows.stop - rows.start)
        held.append(weakref.ref(x))
        if len(x) > 1:
            raise torch.OutOfMemoryError("too many")
        return len(x)

    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: freed.append(held[-1]() is None))
    assert sum(Blocks(4)(4, work)) == 4
    assert freed == [True, True]


def test_who_looks_on_is_told_which_evaluation_is_running(make_encoded, generator):
    told, some = [], [EVALUATIONS[name]() for name in ("geometry", "contrastive", "knn")]
    found = evaluate(some, make_encoded(k=None), generator=generator, running=told.append)
    assert told == list(found.seconds) == ["geometry", "knn"]


def test_without_labels_only_what_needs_them_is_skipped_with_a_reason(make_encoded, generator):
    found = evaluate([entry() for entry in EVALUATIONS.values()], make_encoded(labels=False), generator=generator)
    assert found.skipped.pop("negatives").startswith("the data have no labels: similarity")  # the rest of it is made
    assert found.skipped == dict.fromkeys(("linear", "knn", "mean_classifier", "bounds"), "the data has no labels")
    assert {name.split(".")[0] for name in found.metrics} == {"geometry", "contrastive", "negatives"}
    assert "geometry.tolerance" not in found.metrics


def test_labels_of_data_without_labels_are_refused(make_encoded):
    with pytest.raises(ValueError, match="no labels: choose evaluations that do not need them"):
        make_encoded(labels=False).labels()


def test_another_evaluation_changes_no_numbers(make_encoded):
    encoded, one, all_ = make_encoded(), [EVALUATIONS["contrastive"]()], [entry() for entry in EVALUATIONS.values()]
    alone = evaluate(one, encoded, generator=torch.Generator().manual_seed(1)).metrics
    among = evaluate(all_[::-1], encoded, generator=torch.Generator().manual_seed(1)).metrics
    assert alone == {name: value for name, value in among.items() if name in alone}
    other = evaluate(one, encoded, generator=torch.Generator().manual_seed(2)).metrics
    assert other["contrastive.loss"] != alone["contrastive.loss"]


def test_an_evaluation_of_the_users_own_is_one_class(make_encoded, generator):
    class Norm(Evaluation):
        reports: ClassVar = {"norm.features": Metric(None, "", "mean norm of the features")}

        def evaluate(self, encoded, *, generator):
            return Findings({"norm.features": encoded.features_test.norm(dim=1).mean().item()})

    encoded = make_encoded()
    encoded = replace(encoded, features_test=torch.ones_like(encoded.features_test))
    assert evaluate([Norm()], encoded, generator=generator).metrics == {"norm.features": pytest.approx(12**0.5)}


def test_every_metric_is_listed_once_by_its_dotted_name():
    assert reported()["linear.features.top1"] == Metric("max", "%", "test accuracy of the linear probe on features h")
    assert len(reported()) == sum(len(entry.reports) for entry in EVALUATIONS.values())
