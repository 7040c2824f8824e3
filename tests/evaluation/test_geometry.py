"""Geometry against the authors' values, and against sums over pairs."""

import json
import math
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from study.evaluation import geometry
from study.evaluation.geometry import Geometry, alignment, tolerance, uniformity

GOLDEN = Path(__file__).parents[2].parent / "shared" / "golden"


@pytest.fixture
def golden():
    if not GOLDEN.is_dir():
        pytest.skip("the shared golden values are not beside this checkout")
    inputs = np.load(GOLDEN / "inputs.npz")
    return json.loads((GOLDEN / "golden.json").read_text()), {name: torch.tensor(inputs[name]) for name in inputs}


def test_alignment_and_uniformity_are_the_authors(golden):
    values, inputs = golden
    u1, u2 = inputs["u1"], inputs["u2"]
    assert alignment(u1, u2).item() == pytest.approx(values["align_alpha2"]["loss"], rel=1e-9)
    assert uniformity(u1).item() == pytest.approx(values["uniform_t2_u1"]["loss"], rel=1e-9)


@pytest.mark.parametrize("block", [4, 7, 100])
def test_uniformity_is_the_mean_over_pairs_whatever_the_blocks(block, generator, monkeypatch):
    monkeypatch.setattr(geometry, "BLOCK", block)
    z = F.normalize(torch.randn(30, 5, generator=generator).double())
    pairs = [math.exp(-2 * (x - y).square().sum()) for x, y in combinations(z, 2)]
    assert uniformity(z).item() == pytest.approx(math.log(sum(pairs) / len(pairs)), rel=1e-12)


def test_uniformity_is_zero_at_collapse():
    assert uniformity(F.normalize(torch.ones(50, 8))).item() == pytest.approx(0, abs=1e-5)


def test_tolerance_is_over_all_pairs_and_its_conditional_over_pairs_of_a_class(generator):
    z = F.normalize(torch.randn(30, 5, generator=generator).double())
    labels = torch.randint(4, (30,), generator=generator)
    pairs = [(float(z[i] @ z[j]), labels[i] == labels[j]) for i, j in combinations(range(30), 2)]
    same = [s for s, is_same in pairs if is_same]
    over_all, within = tolerance(z, labels)
    assert over_all.item() == pytest.approx(sum(same) / len(pairs), rel=1e-10)
    assert within.item() == pytest.approx(sum(same) / len(same), rel=1e-10)


def test_tolerance_of_collapse_is_the_share_of_pairs_of_a_class():
    over_all, within = tolerance(F.normalize(torch.ones(8, 3).double()), torch.tensor([0, 0, 0, 0, 1, 1, 1, 1]))
    assert over_all.item() == pytest.approx(12 / 28)
    assert within.item() == pytest.approx(1)


def test_alignment_is_the_mean_over_pairs_of_views(make_encoded, generator):
    encoded = make_encoded(views=3)
    a, b, c = encoded.views_test.double().numpy()
    expected = np.mean([((x - y) ** 2).sum(1).mean() for x, y in ((a, b), (a, c), (b, c))])
    assert Geometry().evaluate(encoded, generator=generator).metrics["geometry.alignment"] == pytest.approx(expected)
