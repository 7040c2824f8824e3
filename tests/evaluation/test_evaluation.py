"""What every registered evaluation keeps to, and how several are made together."""

import math
from dataclasses import replace
from typing import ClassVar

import pytest
import torch

from study import negatives, theory  # noqa: F401 (they register themselves)
from study.evaluation import EVALUATIONS, Evaluation, Findings, Metric, evaluate, reported


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
