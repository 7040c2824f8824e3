"""Every objective and method against its authors' own code: loss and gradient norms to 1e-9 in float64."""

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.contrast import Contrast, Step, StepContext
from models.heads import Head
from models.methods import METHODS, Batch, Learner, TrainingContext
from models.methods.memory_bank import log_partition, noise_contrastive
from models.methods.simsiam import simsiam_loss
from models.methods.supcon import supervised_contrastive
from models.negatives import STRATEGIES
from models.objectives import OBJECTIVES
from models.pools import Pool

Golden = dict[str, Any]
Inputs = dict[str, Tensor]


def identity_learner(
    method: str, *, objective: str | None = None, strategy: Any = None, dim: int = 32, **params: Any
) -> Learner:
    """The method on raw vectors: encoder and head are the identity."""
    contrast = None
    if objective is not None:
        directions = OBJECTIVES.trait(objective, "directions")
        contrast = Contrast(strategy or STRATEGIES["all"](), OBJECTIVES[objective], directions=directions)
    context = TrainingContext(
        batch_size=16, train_count=64, classes=4, steps=10, generator=torch.Generator().manual_seed(0)
    )  # fmt: skip
    learner = METHODS[method](**params).learner(nn.Identity(), Head(output_dim=dim), contrast, context)
    return learner.double()


def take_step(learner: Learner, views: tuple[Tensor, ...], temperature: float, inputs: Inputs) -> Step:
    context = StepContext(torch.Generator().manual_seed(0), temperature)
    return learner.step(Batch(views, inputs["y_idx"], inputs["labels"]), context)


def leaves(*tensors: Tensor) -> tuple[Tensor, ...]:
    return tuple(t.clone().requires_grad_() for t in tensors)


def assert_agrees(loss: Tensor, wrt: tuple[Tensor, ...], entry: Golden) -> None:
    assert loss.item() == pytest.approx(entry["loss"], rel=1e-9)
    gradients = torch.autograd.grad(loss, wrt, allow_unused=True)
    norms = [0.0 if g is None else g.norm().item() for g in gradients]
    assert norms == pytest.approx(entry["grad_norms"], rel=1e-9, abs=1e-15)


def in_batch(anchors: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """NT-Xent's positive [2B] and negatives [2B, 2B − 2], the slow way: every pair, then the two own ones dropped."""
    z = torch.cat([anchors, keys])
    n = len(z)
    similarity = z @ z.T
    other = (torch.arange(n) + n // 2) % n
    drop = torch.eye(n, dtype=torch.bool) | (torch.arange(n) == other[:, None])
    return similarity[torch.arange(n), other], similarity[~drop].view(n, n - 2)


def test_nt_xent(golden: Golden, inputs: Inputs) -> None:
    z1, z2 = leaves(inputs["z1"], inputs["z2"])
    step = take_step(identity_learner("simclr", objective="nt_xent"), (z1, z2), 0.5, inputs)
    assert_agrees(step.loss, (z1, z2), golden["ntxent_nzw_t0.5"])


def test_info_nce_of_one_view(golden: Golden, inputs: Inputs) -> None:
    z1, z2 = leaves(inputs["z1"], inputs["z2"])
    step = take_step(identity_learner("simclr", objective="info_nce"), (z1, z2), 0.5, inputs)
    assert_agrees(step.loss, (z1, z2), golden["infonce_single_view_nzw_t0.5"])


def test_moco(golden: Golden, inputs: Inputs) -> None:
    z1, z2 = leaves(inputs["z1"], inputs["z2"])
    learner = identity_learner("moco", objective="info_nce", queue_size=64)
    learner.queue.keys.copy_(inputs["queue"])
    step = take_step(learner, (z1, z2), 0.2, inputs)
    assert torch.equal(learner.queue.keys, inputs["queue"]), "keys are enqueued after the logits"
    assert_agrees(step.loss, (z1, z2), golden["moco_t0.2"])
    learner.after_step(0.1)
    assert learner.queue.pointer.item() == golden["moco_t0.2"]["queue_ptr_after"]
    torch.testing.assert_close(learner.queue.keys[:16], F.normalize(inputs["z2"], dim=1))
    assert torch.equal(learner.queue.keys[16:], inputs["queue"][16:])


@pytest.mark.parametrize(
    ("entry", "objective", "params"),
    [
        ("debiased_on_tau0.1_t0.5", "debiased", {"tau_plus": 0.1}),
        ("hcl_hard_tau0.1_beta1.0_t0.5", "hard", {"tau_plus": 0.1, "beta": 1.0}),
    ],
)
def test_objectives_in_the_batch(
    entry: str, objective: str, params: dict[str, float], golden: Golden, inputs: Inputs
) -> None:
    u1, u2 = leaves(inputs["u1"], inputs["u2"])
    loss = OBJECTIVES[objective](*in_batch(u1, u2), temperature=0.5, **params)
    assert_agrees(loss, (u1, u2), golden[entry])


def test_decoupled_one_way(golden: Golden, inputs: Inputs) -> None:
    u1, u2 = leaves(inputs["u1"], inputs["u2"])
    positive, negatives = in_batch(u1, u2)
    assert_agrees(
        OBJECTIVES["decoupled"](positive[:16], negatives[:16], temperature=0.5),
        (u1, u2),
        golden["decoupled_dcl_oneway_t0.5"],
    )


def test_ring(golden: Golden, inputs: Inputs) -> None:
    z1, z2 = leaves(inputs["z1"], inputs["z2"])
    anchors, keys = F.normalize(z1, dim=1), F.normalize(z2, dim=1)
    contrast = Contrast(STRATEGIES["ring"](outer=0.5, inner=0.25), OBJECTIVES["info_nce"], directions="one")
    pool = Pool(inputs["queue"], torch.full((64,), -1))
    context = StepContext(torch.Generator(), 0.07, observe=True)
    step = contrast(anchors, keys, pool, None, context)
    assert step.observed["k_eff"].item() == 24
    assert_agrees(step.loss, (z1, z2), golden["moco_ring_outer0.5_inner0.25dyn_t0.07"])


def test_supcon(golden: Golden, inputs: Inputs) -> None:
    u1, u2 = leaves(inputs["u1"], inputs["u2"])
    loss = supervised_contrastive(torch.cat([u1, u2]), inputs["labels"].repeat(2), temperature=0.1)
    assert_agrees(loss, (u1, u2), golden["supcon_t0.1_base0.1"])
    step = take_step(identity_learner("supcon", base_temperature=0.2), (u1, u2), 0.1, inputs)
    assert step.loss.item() == pytest.approx(golden["supcon_t0.1_base0.1"]["loss"] / 2, rel=1e-9)


def test_memory_bank_with_full_softmax(golden: Golden, inputs: Inputs) -> None:
    (u1,) = leaves(inputs["u1"])
    entry = golden["npid_full_softmax_t0.07"]
    learner = identity_learner("memory_bank", objective="info_nce", momentum=0.5)
    learner.bank.keys.copy_(inputs["queue"])
    step = take_step(learner, (u1, u1), 0.07, inputs)
    assert step.loss.item() == pytest.approx(entry["loss"], rel=1e-9)
    learner.after_step(0.1)
    moved = (learner.bank.keys - inputs["queue"]).norm().item()
    assert moved == pytest.approx(entry["memory_after_norm_diff"], rel=1e-9)
    # The gradient with respect to unit rows, which the learner would normalise again.
    rows = Pool(inputs["queue"], torch.arange(64))
    offered = rows.instance[None, :] != inputs["y_idx"][:, None]
    contrast = Contrast(STRATEGIES["all"](), OBJECTIVES["info_nce"], directions="one")
    step = contrast(u1, inputs["queue"][inputs["y_idx"]], rows, offered, StepContext(torch.Generator(), 0.07))
    assert_agrees(step.loss, (u1,), entry)


def test_memory_bank_with_nce(inputs: Inputs) -> None:
    """NCE as lemniscate's NCEAverage and NCECriterion write it, on the same draws."""
    s = inputs["u1"] @ inputs["queue"].T / 0.07
    index = inputs["nce_idx"].clone()
    index[:, 0] = inputs["y_idx"]
    out = s.gather(1, index).exp()
    z = out.mean() * 64
    p, k = out / z, index.shape[1] - 1
    of_data = (p[:, 0] / (p[:, 0] + k / 64 + 1e-7)).log().sum()
    of_noise = (k / 64 / (p[:, 1:] + k / 64 + 1e-7)).log().sum()
    expected = -(of_data + of_noise) / 16
    cosines = s.gather(1, index) * 0.07
    ours = log_partition(cosines, temperature=0.07, log_weight=None, rows=64)
    torch.testing.assert_close(ours.exp(), z, rtol=1e-12, atol=0)
    loss = noise_contrastive(
        cosines[:, 0], cosines[:, 1:], temperature=0.07, log_weight=None, log_z=ours, rows=64
    )  # fmt: skip
    torch.testing.assert_close(loss, expected, rtol=1e-12, atol=0)


def test_swav(golden: Golden, inputs: Inputs) -> None:
    z1, z2 = leaves(inputs["z1"], inputs["z2"])
    learner = identity_learner("swav", prototypes=12)
    weight = learner.prototypes.weight
    with torch.no_grad():
        weight.copy_(inputs["prototypes"])
    step = take_step(learner, (z1, z2), 0.1, inputs)
    assert_agrees(step.loss, (z1, z2, weight), golden["swav_2crops"])


def test_simsiam(golden: Golden, inputs: Inputs) -> None:
    wrt = leaves(inputs["p1"], inputs["p2"], inputs["z1"], inputs["z2"])
    assert_agrees(simsiam_loss(*wrt), wrt, golden["simsiam"])


def test_every_entry_for_this_package_is_compared(golden: Golden) -> None:
    of_evaluation = {"align_alpha2", "uniform_t2_u1"}
    here = {
        "ntxent_nzw_t0.5", "infonce_single_view_nzw_t0.5", "moco_t0.2", "supcon_t0.1_base0.1",
        "debiased_on_tau0.1_t0.5", "hcl_hard_tau0.1_beta1.0_t0.5", "swav_2crops",
        "moco_ring_outer0.5_inner0.25dyn_t0.07", "npid_full_softmax_t0.07", "decoupled_dcl_oneway_t0.5", "simsiam",
    }  # fmt: skip
    assert set(golden) == here | of_evaluation
