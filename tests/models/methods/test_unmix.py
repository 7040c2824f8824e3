"""Un-Mix, against the authors' listing on the same draws."""

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from models.contrast import StepContext
from models.methods import METHODS
from models.methods.imix import beta
from tests.models.methods.mixed import B, batch, learner

T, SIDE = 0.2, 8


def listing(x: Tensor, *, whole: float, seed: int) -> tuple[Tensor, float]:
    """(mixed_images, lam) as in the authors' repository, from the draws that the learner makes under this seed."""
    g = torch.Generator().manual_seed(seed)
    lam = float(beta(1.0, generator=g))
    way, row, column = torch.rand(3, generator=g).tolist()
    reverse = torch.flip(x, (0,))
    if way < whole:
        return lam * x + (1 - lam) * reverse, lam
    cut = int(SIDE * (1 - lam) ** 0.5)
    ends = [(max(int(c * SIDE) - cut // 2, 0), min(int(c * SIDE) + cut // 2, SIDE)) for c in (row, column)]
    (x1, x2), (y1, y2) = ends
    mixed = x.clone()
    mixed[:, :, x1:x2, y1:y2] = reverse[:, :, x1:x2, y1:y2]
    return mixed, 1 - (x2 - x1) * (y2 - y1) / SIDE**2


@pytest.mark.parametrize("whole", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("seed", range(6))
def test_the_loss_is_that_of_originals_and_of_mixtures_in_both_orders(seed: int, whole: float) -> None:
    trained, given = learner("unmix", side=SIDE, whole=whole), batch(side=SIDE)
    loss = trained.step(given, StepContext(torch.Generator().manual_seed(seed), T)).loss
    mixed, lam = listing(given.views[0], whole=whole, seed=seed)
    keys = trained.project(given.views[1])

    def model(images: Tensor) -> Tensor:
        return F.cross_entropy((trained.project(images) @ keys.T).double() / T, torch.arange(B))

    expected = model(given.views[0]) + lam * model(mixed) + (1 - lam) * model(torch.flip(mixed, (0,)))
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, two in zip(*(torch.autograd.grad(x, list(trained.parameters())) for x in (loss, expected)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-4, atol=1e-7)


def test_both_ways_of_mixing_are_met_as_often_as_asked() -> None:
    trained, images, g = (
        learner("unmix", side=SIDE, whole=0.25),
        batch(side=SIDE).views[0],
        torch.Generator().manual_seed(0),
    )
    boxes = [((taken := trained.taken(images, g)) == taken.round()).all().item() for _ in range(400)]
    assert sum(boxes) == pytest.approx(300, abs=35)


@pytest.mark.parametrize(("params", "message"), [({"alpha": 2.0}, "alpha must lie"), ({"whole": -0.1}, "whole must")])
def test_a_number_out_of_range_is_refused(params: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=f"unmix: {message}"):
        METHODS["unmix"](**params)
