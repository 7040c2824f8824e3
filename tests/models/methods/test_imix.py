"""i-Mix, against the cross-entropy with its virtual labels."""

import pytest
import torch
from torch.nn import functional as F

from models.contrast import StepContext
from models.methods import METHODS
from models.methods.imix import beta
from tests.models.methods.mixed import B, batch, learner

T, SIDE = 0.2, 2


@pytest.mark.parametrize("seed", range(4))
def test_the_loss_is_the_cross_entropy_with_mixed_virtual_labels(seed: int) -> None:
    trained, given = learner("imix", side=SIDE), batch(side=SIDE)
    loss = trained.step(given, StepContext(torch.Generator().manual_seed(seed), T)).loss
    g = torch.Generator().manual_seed(seed)
    share, order = beta(1.0, generator=g).double(), torch.randperm(B, generator=g)
    mixed = share * given.views[0] + (1 - share) * given.views[0][order]
    z, keys = trained.project(mixed), trained.project(given.views[1])
    virtual = share * torch.eye(B) + (1 - share) * torch.eye(B)[order]  # [B, B], rows sum to 1
    expected = F.cross_entropy((z @ keys.T).double() / T, virtual.double())
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    for one, two in zip(*(torch.autograd.grad(x, list(trained.parameters())) for x in (loss, expected)), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-8)


@pytest.mark.parametrize("alpha", [0.2, 1.0])
def test_shares_are_of_a_beta_distribution(alpha: float) -> None:
    """Its mean is ½ and its variance 1 / (4 (2α + 1))."""
    g = torch.Generator().manual_seed(0)
    drawn = torch.stack([beta(alpha, generator=g) for _ in range(4000)]).double()
    assert ((drawn >= 0) & (drawn <= 1)).all()
    variance = 1 / (4 * (2 * alpha + 1))
    assert drawn.mean().item() == pytest.approx(0.5, abs=4 * (variance / 4000) ** 0.5)
    assert drawn.var().item() == pytest.approx(variance, rel=0.08)


def test_a_share_out_of_range_is_refused() -> None:
    with pytest.raises(ValueError, match=r"alpha must lie in \(0, 1\], got 2\.0"):
        METHODS["imix"](alpha=2.0)
