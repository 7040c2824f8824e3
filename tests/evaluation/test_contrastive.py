"""L_cont against the authors' value, the training's objective, and its own expectation."""

import json
import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from models.objectives import info_nce
from study.evaluation import Encoded, evaluate
from study.evaluation.contrastive import Contrastive, draw_others, info_nce_losses

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"


def test_loss_against_all_other_instances_is_the_authors_single_view_info_nce():
    if not GOLDEN.is_dir():
        pytest.skip("the shared golden values are not beside this checkout")
    value = json.loads((GOLDEN / "golden.json").read_text())["infonce_single_view_nzw_t0.5"]
    inputs = np.load(GOLDEN / "inputs.npz")
    u1, u2 = torch.tensor(inputs["u1"]), torch.tensor(inputs["u2"])
    losses = info_nce_losses(u1, u2, torch.arange(16), torch.arange(15), torch.ones(15).double(), 0.5)
    assert losses.mean().item() == pytest.approx(value["loss"], rel=1e-9)


def test_losses_are_the_objective_on_the_rows_that_were_drawn(generator):
    anchors, keys = (F.normalize(torch.randn(20, 6, generator=generator).double()) for _ in range(2))
    drawn, counts = draw_others(20, 50, generator=generator)
    losses = info_nce_losses(anchors, keys, torch.arange(20), drawn, counts, 0.1)
    for i in range(20):
        others = torch.cat([keys[:i], keys[i + 1 :]])[drawn.repeat_interleave(counts)]  # [50, 6]
        expected = info_nce(anchors[i : i + 1] @ keys[i], (others @ anchors[i])[None], temperature=0.1)
        assert losses[i].item() == pytest.approx(expected.item(), rel=1e-10)


def test_draws_are_distinct_while_they_can_be_and_else_independent(generator):
    drawn, counts = draw_others(10, 9, generator=generator)
    assert sorted(drawn.tolist()) == list(range(9))
    assert counts.tolist() == [1] * 9
    drawn, counts = draw_others(10, 5000, generator=generator)
    assert counts.sum() == 5000
    assert drawn.tolist() == list(range(9))
    assert counts.min() > 400


def test_every_other_instance_is_drawn_equally_often(generator):
    seen = Counter(i for _ in range(3000) for i in draw_others(7, 2, generator=generator)[0].tolist())
    assert sorted(seen) == list(range(6))
    assert max(seen.values()) - min(seen.values()) < 200  # 1000 each, standard deviation 26


def test_collapsed_embeddings_have_the_loss_of_chance(make_encoded, generator):
    encoded = make_encoded(k=16)
    collapsed = replace(encoded, views_test=F.normalize(torch.ones_like(encoded.views_test), dim=2))
    metrics = Contrastive().evaluate(collapsed, generator=generator).metrics
    assert metrics["contrastive.loss"] == pytest.approx(math.log(17), rel=1e-6)
    assert metrics["contrastive.loss_se"] == pytest.approx(0, abs=1e-6)


def test_loss_grows_with_k(make_encoded, generator):
    losses = [
        Contrastive().evaluate(make_encoded(k=k), generator=generator).metrics["contrastive.loss"]
        for k in (1, 8, 59, 4096)
    ]
    assert losses == sorted(losses)


def test_standard_error_is_the_scatter_over_test_splits(generator):
    found = []
    for _ in range(60):
        z = F.normalize(torch.randn(200, 8, generator=generator))
        views = torch.stack([F.normalize(z + 0.2 * torch.randn(200, 8, generator=generator)) for _ in range(2)])
        encoded = Encoded(z, z, z, z, z, views, None, None, ("only",), 0.2, 32)
        found.append(Contrastive(repetitions=1).evaluate(encoded, generator=generator).metrics)
    scatter = np.std([metrics["contrastive.loss"] for metrics in found], ddof=1)
    claimed = np.mean([metrics["contrastive.loss_se"] for metrics in found])
    assert claimed == pytest.approx(scatter, rel=0.3)


def test_draws_are_counted_and_bounded(make_encoded, generator):
    encoded = make_encoded(test=60, k=16)
    assert Contrastive(repetitions=3).evaluate(encoded, generator=generator).metrics["contrastive.draws"] == 180
    bounded = Contrastive(repetitions=1, max_similarities=50 * 16).evaluate(encoded, generator=generator).metrics
    assert bounded["contrastive.draws"] == 50


def test_a_method_without_negatives_is_skipped(make_encoded, generator):
    for k in (None, 0):
        found = evaluate([Contrastive()], make_encoded(k=k), generator=generator)
        assert found.skipped == {"contrastive": "the method has no negatives"}


@pytest.mark.parametrize("parameters", [{"repetitions": 0}, {"max_similarities": 0}])
def test_parameters_out_of_range_are_refused(parameters):
    with pytest.raises(ValueError, match=f"{next(iter(parameters))} must be at least 1"):
        Contrastive(**parameters)
