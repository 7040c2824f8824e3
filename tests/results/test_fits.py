"""From finished trials to theory: what the fits read, which fits come out, and how the encoder is described."""

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional as F

from study import TrialConfig
from study.bounds import BOUNDS
from study.bounds.priors import without_replacement
from study.evaluation import EVALUATIONS, Encoded
from study.figures import FIGURES, Records
from study.planning.resolve import resolve
from study.results import Results
from study.semantics import class_semantics
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.encode import encode
from study.trial.training import Training


@pytest.fixture
def encoded() -> Encoded:
    """Two views of 200 trials around 4 class centres."""
    known = class_semantics(("cat", "dog", "truck", "ship"), dataset="cifar10")
    draw = torch.Generator().manual_seed(0)
    centres = F.normalize(torch.randn(4, 16, generator=draw), dim=1)
    labels = torch.arange(200) % 4

    def view() -> torch.Tensor:
        return F.normalize(centres[labels] + 0.15 * torch.randn(200, 16, generator=draw), dim=1)

    views = torch.stack([view(), view(), view()])
    return Encoded(
        features_train=views[0], features_test=views[0], embeddings_train=views[0], embeddings_test=views[0],
        mean_views_train=views.mean(dim=0), views_test=views, labels_train=labels, labels_test=labels,
        classes=("cat", "dog", "truck", "ship"), temperature=0.5, k=32,
        synsets=known.synsets, similarities=known.similarities,
    )  # fmt: skip


def test_no_lower_bound_is_violated_and_terms_are_those_of_the_trials_k(encoded: Encoded) -> None:
    found = EVALUATIONS["bounds"]().evaluate(encoded, generator=torch.Generator().manual_seed(0))
    for bound in ("arora2019", "nozawa2021", "ash2021", "bao2021"):
        slack, error = (found.metrics[f"bounds.{bound}.slack{suffix}"] for suffix in ("", "_se"))
        assert slack > -2 * error
    assert found.metrics["bounds.collision"] == pytest.approx(1 - (1 - 0.25) ** 32, abs=5e-3)
    assert {row["k"] for row in found.tables["bounds.profile"]} == {4, 16, 32, 64, 128}
    assert found.metrics.keys() <= EVALUATIONS.trait("bounds", "reports").keys()


def test_no_bound_of_a_trial_is_violated_whatever_its_networks_compute_in(
    tiny: TrialConfig, each_precision: str
) -> None:
    trial = resolve(replace(tiny, k=16))
    training = Training(trial, trial.parts.data.load(), torch.device("cpu"))
    training.train_epoch()
    assert training.precision == each_precision
    found = EVALUATIONS["bounds"]().evaluate(encode(training), generator=torch.Generator().manual_seed(0))
    for bound in BOUNDS.names():
        slack, error = (found.metrics[f"bounds.{bound}.slack{suffix}"] for suffix in ("", "_se"))
        assert slack > -2 * error
    assert found.metrics["bounds.gap"] <= 0


def test_bounds_are_left_out_with_the_class_that_is_absent(encoded: Encoded) -> None:
    labels = encoded.labels_test.clone()
    labels[labels == 3] = 0
    reason = EVALUATIONS["bounds"]().unavailable(replace(encoded, labels_test=labels))
    assert reason == "classes absent from the test split: ship"


def test_hard_negatives_of_planted_classes_are_of_the_same_class(encoded: Encoded) -> None:
    found = EVALUATIONS["negatives"](queries=100).evaluate(encoded, generator=torch.Generator())
    assert found.metrics["negatives.hard_5pct.same_class_share"] > 0.8
    assert found.metrics["negatives.easy_5pct.same_class_share"] < 0.05
    assert found.metrics["negatives.pool.same_class_share"] == pytest.approx(49 / 199)
    assert found.metrics.keys() <= EVALUATIONS.trait("negatives", "reports").keys()
    assert [row["class"] for row in found.tables["negatives.difficulty"]] != list(encoded.classes)
    assert not found.skipped


def test_classes_that_no_synset_is_known_of_are_said_and_the_rest_is_measured(encoded: Encoded) -> None:
    strange = replace(encoded, classes=("cat", "dog", "truck", "qwertz"), synsets=(), similarities={})
    found = EVALUATIONS["negatives"](queries=50).evaluate(strange, generator=torch.Generator())
    assert "no synsets" in found.skipped["negatives"]
    assert [row["class"] for row in found.tables["negatives.difficulty"]] == list(strange.classes)
    assert "negatives.hard_5pct.same_class_share" in found.metrics
    assert "negatives.hard_5pct.wup" not in found.metrics


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Two curves over K of losses that Nozawa & Sato's bound with L_sup = 1.5 and d = −1 generates."""
    store, draw = Store.of("s", tmp_path), np.random.default_rng(0)
    for strategy in ("all", "uniform"):
        for k in (16, 64, 256):
            for seed in (0, 1, 2):
                curve = BOUNDS["nozawa2021"]().curve(np.array([k]), 10, 0.5)
                loss = float((1.5 * curve.sup + 1.2 * curve.sub - curve.gap + curve.constant)[0])
                folder = store.trial(f"{strategy}{k}{seed}")
                config = {"k": k, "negatives": {"name": strategy}, "seed": seed}
                folder.write_config({"config": config, "cell": {"k": k, "negatives": strategy}, "seed": seed})
                metrics = {
                    "train.k": k, "train.temperature": 0.5, "bounds.gap": -1.0, "mean_classifier.top1": 50.0 + k / 100,
                    "bounds.contrastive_loss": loss + 0.002 * draw.normal(),
                }  # fmt: skip
                data = {"class_counts": [100] * 10}
                folder.write_result(TrialResult(status="finished", metrics=metrics, data=data, started=0, ended=1))
    return store


def test_a_fit_of_each_curve_recovers_what_generated_it(store: Store, tmp_path: Path) -> None:
    results = Results.load(store)
    fits = results.fit("nozawa2021", resamples=50)
    assert [fit.group for fit in fits] == [{"negatives": "all"}, {"negatives": "uniform"}]
    assert fits[0].parameters[0].value == pytest.approx(1.5, abs=0.05)
    assert "nozawa2021 [negatives=all]: 9 trials, 3 seeds" in str(fits)
    results.save(tmp_path / "out")
    on_a_laptop = Results.read(tmp_path / "out" / "results.csv").fit("nozawa2021", resamples=50)
    assert on_a_laptop[0].parameters[0].value == pytest.approx(fits[0].parameters[0].value)


def test_k_is_the_configured_one_where_the_measured_mean_is_another(store: Store, tmp_path: Path) -> None:
    for folder in store.trials():  # as where a pool's last batches offer fewer
        result = folder.result()
        assert result is not None
        metrics = result.metrics | {"train.k": result.metrics["train.k"] - 0.4}
        metrics |= {"bounds.nozawa2021.slack": 0.5, "bounds.nozawa2021.slack_se": 0.1}
        folder.write_result(replace(result, metrics=metrics))
    Results.load(store).save(tmp_path)
    for results in (Results.load(store), Results.read(tmp_path / "results.csv")):
        assert results.fit("nozawa2021", resamples=20)[0].ks == (16, 64, 256)
        assert set(results.slack()["k"]) == {16, 64, 256}


def test_a_k_that_does_not_vary_is_in_the_table_and_names_no_cell(tmp_path: Path) -> None:
    store = Store.of("one", tmp_path)
    for temperature in (0.1, 0.5):
        folder = store.trial(f"t{temperature}")
        config = {"k": 63, "temperature": temperature, "seed": 0}
        folder.write_config({"config": config, "cell": {"temperature": temperature}, "seed": 0})
        metrics = {"train.k": 62.4, "train.temperature": temperature, "contrastive.loss": 2.0}
        folder.write_result(TrialResult(status="finished", metrics=metrics, started=0, ended=1))
    Results.load(store).save(tmp_path)
    table = pd.read_csv(tmp_path / "results.csv")
    for results in (Results.load(store), Results.read(tmp_path / "results.csv")):
        assert results.varying == ["temperature"]
        assert results.losses()[0]["k"].tolist() == [63, 63]
    earlier = Results(table.drop(columns="k"))
    assert (earlier.varying, earlier.losses()[0]["k"].tolist()) == (["temperature"], [62, 62])


def test_the_bound_that_generated_the_losses_wins_the_comparison(store: Store) -> None:
    compared = Results.load(store).compare_bounds(resamples=20)
    best = compared.sort_values("aicc").groupby("negatives")["bound"].first()
    assert set(best) == {"nozawa2021"}


def two_data_sets() -> Results:
    """A curve over K on ten classes and one on four, each generated by Arora's bound on its own classes."""
    rows = []
    for data, classes in (("ten", 10), ("four", 4)):
        for k, seed in itertools.product((4, 8, 16, 32), (0, 1, 2)):
            curve = BOUNDS["arora2019"]().curve(np.array([k]), without_replacement([100] * classes), 0.5)
            rows.append({
                "trial_id": f"{data}{k}{seed}", "status": "finished", "reason": None, "seed": seed,
                "class_counts": str([100] * classes), "k": k, "data": data, "seconds": 1.0, "train.k": k,
                "train.temperature": 0.5, "bounds.gap": -1.0, "mean_classifier.top1": 50.0 + k,
                "bounds.contrastive_loss": float((1.5 * curve.sup + 1.2 * curve.sub - curve.gap + curve.constant)[0]),
            })  # fmt: skip
    return Results(pd.DataFrame(rows))


def test_a_curve_is_fitted_with_the_classes_of_its_own_test_split() -> None:
    results = two_data_sets()
    fits = {fit.group["data"]: fit for fit in results.fit("arora2019", resamples=20)}
    for fit in fits.values():
        assert [p.value for p in fit.parameters] == pytest.approx([1.5, 1.2], rel=1e-4)
    compared = results.compare_bounds(resamples=20)
    assert compared.groupby("data").size().to_dict() == {"four": 4, "ten": 4}
    assert compared.loc[compared.groupby("data")["aicc"].idxmin(), "bound"].tolist() == ["arora2019"] * 2
    bounds = [
        {curve.label: curve.x for curve in panel.info.bounds}["nozawa2021"]
        for picture in FIGURES["bounds"]().of_study(Records(results, Store(Path("nowhere"))))
        for panel in picture.info
    ]
    assert bounds == [(4, 8, 16, 32), (16, 32)]  # of four classes, then of ten


def test_fits_take_the_scheme_that_the_negatives_were_drawn_by() -> None:
    frame = two_data_sets().frame.query("data == 'four'")
    for changed, name in [
        (frame, "without_replacement"),
        (frame.assign(**{"bounds.replacement": 0.0}), "without_replacement"),
        (frame.assign(**{"bounds.replacement": 1.0}), "with_replacement"),
        (frame.assign(k=frame["k"] * 16), "with_replacement"),  # 512 of 399 others
    ]:
        priors = Results(changed).priors()
        assert (priors.name, np.asarray(priors).tolist()) == (name, [0.25] * 4)
    independent = Results(frame.assign(**{"bounds.replacement": 1.0})).fit("arora2019", resamples=20)[0]
    assert abs(independent.parameters[0].value - 1.5) > 0.02  # what the draws without replacement were made from


def test_a_part_of_the_results_is_fitted_like_the_whole() -> None:
    results = two_data_sets()
    part = Results(results.frame.query("data == 'four' and k > 4"))
    (fit,) = part.fit("arora2019", resamples=20)
    assert (fit.ks, fit.group, fit.trials) == ((8, 16, 32), {"data": "four"}, 9)
    assert part.compare_bounds(resamples=20)["bound"].tolist()[0] == "arora2019"


def test_trials_of_one_curve_on_different_test_splits_are_refused() -> None:
    frame = two_data_sets().frame.assign(data="same")
    with pytest.raises(ValueError, match="2 different test splits"):
        Results(frame).fit("arora2019", resamples=20)
    with pytest.raises(ValueError, match="no labels"):
        Results(frame.assign(class_counts="[]")).fit("arora2019", resamples=20)


def test_fits_print_themselves_one_after_another(store: Store) -> None:
    fits = Results.load(store).fit("nozawa2021", resamples=20)
    assert repr(fits) == f"{fits[0]}\n{fits[1]}"


def test_slack_has_a_row_a_trial_and_bound_and_says_which_are_violated() -> None:
    measured = {"bounds.a.slack": [0.5, -0.1], "bounds.a.slack_se": [0.1, 0.1], "bounds.b.slack": [-0.3, np.nan]}
    frame = pd.DataFrame({
        "trial_id": ["x", "y"], "status": "finished", "reason": None, "seed": 0, "class_counts": "[]", "seconds": 1.0,
        "train.k": [8, 16], **measured, "bounds.b.slack_se": [0.1, np.nan],
    })  # fmt: skip
    slack = Results(frame).slack()
    assert slack[["trial_id", "bound", "violated"]].to_numpy().tolist() == [
        ["x", "a", False], ["y", "a", False], ["x", "b", True],
    ]  # fmt: skip


def slacks_of(slack: list[float], error: list[float]) -> pd.Series:
    frame = pd.DataFrame({
        "trial_id": [str(i) for i in range(len(slack))], "status": "finished", "reason": None, "seed": 0,
        "class_counts": "[]", "seconds": 1.0, "train.k": 8, "bounds.a.slack": slack, "bounds.a.slack_se": error,
    })  # fmt: skip
    return Results(frame).slack()["violated"]


def test_one_in_hundred_lower_bounds_has_to_be_violated_by_more_than_one_alone() -> None:
    assert slacks_of([-2.5], [1.0]).all()
    assert not slacks_of([-2.5, *[0.0] * 99], [1.0] * 100).any()
    assert slacks_of([-5.0, *[0.0] * 99], [1.0] * 100).tolist() == [True, *[False] * 99]


def test_a_bound_that_holds_with_equality_is_not_violated_by_rounding() -> None:
    assert not slacks_of([-1e-7, -3e-7, 0.0], [1e-18, 1e-9, 0.0]).any()
    assert slacks_of([-1e-3], [0.0]).all()


def test_results_without_losses_say_what_to_run() -> None:
    frame = pd.DataFrame({"trial_id": [], "status": [], "reason": [], "seed": [], "class_counts": [], "seconds": []})
    with pytest.raises(ValueError, match="no finished trial has a contrastive loss on test"):
        Results(frame).fit("nozawa2021")
