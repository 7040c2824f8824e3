"""Objectives: from similarities and log-weights to a loss in nats. They never sample.

Every objective has the signature `(positive[B], negatives[B, K], *, temperature, log_weight=None, **params)`, takes raw
cosines, divides them by the temperature itself, and returns the mean over the B anchors. `log_weight[B, K]` is the
selection's log-weight of each negative; −∞ leaves it out.

An anchor may have no negatives. Where the positive stands in the denominator (info_nce, nt_xent, debiased, hard, ifm),
the sum over the empty set is 0, the anchor's loss −log(e^{s⁺/t}/e^{s⁺/t}) = 0, and it counts in the mean; so in that of
triplet. The decoupled ones would be log 0 = −∞: there the anchor is left out of the batch, of its mean and of its
softmax.

The trait `directions` says which views are anchors: "one" of the two, or "both"; without it, as the method has it.
`many_positives`: it takes M positives an anchor, positive [B, M]. `attracts`: a selection's further positives add to it
what they add to InfoNCE, `models.contrast.attraction`.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from models.logsumexp import count_weights, log_sum_exp, scaled
from models.registry import Registry

OBJECTIVES = Registry("objective")

Objective = Callable[..., Tensor]

OBSERVERS: dict[Objective, Callable[..., dict[str, Tensor]]] = {}
"""Further scalars to log of an objective: a function of the same arguments, called where a step is observed."""


@OBJECTIVES.register("info_nce", directions="one", attracts=True)
def info_nce(positive: Tensor, negatives: Tensor, *, temperature: float, log_weight: Tensor | None = None) -> Tensor:
    """InfoNCE: −s⁺/t + log(e^{s⁺/t} + Σ_k w_k e^{s_k/t}), one view's anchors against the other's keys (Oord 2018).

    Shapes: positive [B], negatives [B, K], log_weight [B, K]. Nats. Source: 1807.03748, eq. 4; as in MoCo, 1911.05722,
    eq. 1, and the L_cont of Nozawa & Sato, 2102.06866.
    """
    log_pos = scaled(positive, temperature)  # [B]
    log_neg = log_sum_exp(negatives, temperature, log_weight)  # [B]
    return softplus(log_neg - log_pos).mean()


@OBJECTIVES.register("nt_xent", directions="both", attracts=True)
def nt_xent(positive: Tensor, negatives: Tensor, *, temperature: float, log_weight: Tensor | None = None) -> Tensor:
    """NT-Xent: InfoNCE with both views as anchors, over the 2B − 2 other embeddings of the batch (Chen 2020).

    Shapes: positive [2B], negatives [2B, 2B − 2] (or the K of them that are offered). Nats. Source: 2002.05709, eq. 1.
    """
    return info_nce(positive, negatives, temperature=temperature, log_weight=log_weight)


@OBJECTIVES.register("decoupled", attracts=True)
def decoupled(positive: Tensor, negatives: Tensor, *, temperature: float, log_weight: Tensor | None = None) -> Tensor:
    """Decoupled: −s⁺/t + log Σ_k w_k e^{s_k/t}, the positive left out of the denominator; may be negative (Yeh 2021).

    The mean is over the anchors that have negatives. Shapes: positive [B], negatives [B, K]. Nats. Source: 2110.06848,
    L_DC (the mean, not the sum, of the directions).
    """
    log_neg = log_sum_exp(negatives, temperature, log_weight)  # [B]
    return _mean(log_neg - scaled(positive, temperature), met=~log_neg.isneginf())


@OBJECTIVES.register("decoupled_weighted")
def decoupled_weighted(
    positive: Tensor, negatives: Tensor, *, temperature: float, log_weight: Tensor | None = None, sigma: float = 0.5
) -> Tensor:
    """Decoupled with weighted positives: −w s⁺/t + log Σ_k e^{s_k/t}, w = 2 − B softmax(s⁺/σ) (Yeh 2021).

    The softmax runs over the B anchors that have negatives, and gradient flows through it, as in the published code.
    Shapes: positive [B], negatives [B, K]. Nats. Source: 2110.06848, L_DCLW.
    """
    if sigma <= 0:
        raise ValueError(f"decoupled_weighted: sigma must be positive, got {sigma}; the authors use 0.5")
    log_neg = log_sum_exp(negatives, temperature, log_weight)  # [B]
    met = ~log_neg.isneginf()
    s = scaled(positive, sigma)
    w = 2 - met.sum() * s.masked_fill(~met, torch.finfo(s.dtype).min).softmax(dim=0)  # [B]
    return _mean(log_neg - w * scaled(positive, temperature), met)


@OBJECTIVES.register("debiased", many_positives=True)
def debiased(
    positive: Tensor,
    negatives: Tensor,
    *,
    temperature: float,
    log_weight: Tensor | None = None,
    tau_plus: float = 0.1,
) -> Tensor:
    """Debiased: log(1 + N_g e^{−s⁺/t}), N_g = max((Σ e^{s/t} − N τ⁺ e^{s⁺/t})/(1 − τ⁺), N e^{−1/t}) (Chuang 2020).

    N = Σ_k w_k. With M positives an anchor, positive [B, M], N_g takes the mean of their e^{s⁺/t}, and the first one
    stands in the numerator. Shapes: positive [B] or [B, M], negatives [B, K]. Nats. Source: 2007.00224.
    """
    return hard(
        positive, negatives, temperature=temperature, log_weight=log_weight, tau_plus=tau_plus, beta=0.0
    )  # fmt: skip


@OBJECTIVES.register("hard", many_positives=True)
def hard(
    positive: Tensor,
    negatives: Tensor,
    *,
    temperature: float,
    log_weight: Tensor | None = None,
    tau_plus: float = 0.1,
    beta: float = 1.0,
) -> Tensor:
    """Hard: debiased, with each negative weighted by e^{β s/t} over its mean; β = 0 is debiased (Robinson 2020).

    The weights are not detached, as in the published code. Shapes: positive [B] or [B, M], negatives [B, K]. Nats.
    Source: 2010.04592, and the published code.
    """
    log_pos, log_ng, _ = _corrected(positive, negatives, temperature, log_weight, tau_plus, beta)
    return softplus(log_ng - log_pos).mean()


@OBJECTIVES.register("ifm")
def ifm(
    positive: Tensor, negatives: Tensor, *, temperature: float, log_weight: Tensor | None = None, epsilon: float = 0.1
) -> Tensor:
    """Implicit feature modification: the mean of InfoNCE and InfoNCE at s⁺ − ε, s⁻ + ε (Robinson 2021).

    Shapes: positive [B], negatives [B, K]. Nats. Source: 2106.11230, with α = 1.
    """
    if epsilon < 0:
        raise ValueError(f"ifm: epsilon must not be negative, got {epsilon}; the authors use 0.05 to 0.2")
    margin = log_sum_exp(negatives, temperature, log_weight) - scaled(positive, temperature)  # [B]
    return (softplus(margin) + softplus(margin + 2 * epsilon / temperature)).mean() / 2


@OBJECTIVES.register("triplet")
def triplet(
    positive: Tensor, negatives: Tensor, *, temperature: float, log_weight: Tensor | None = None, margin: float = 0.2
) -> Tensor:
    """Triplet: the mean over an anchor's negatives of max(0, d²(a, p) − d²(a, n) + margin), d² = 2 − 2s (Schroff 2015).

    The temperature has no part in it. Negatives count by their weight, Σ_k w_k […] / Σ_k w_k. Shapes: positive [B],
    negatives [B, K]. A squared distance, no nats. Source: 1503.03832, §3.1; `semi_hard` mines the negatives.
    """
    if margin <= 0:
        raise ValueError(f"triplet: margin must be above 0, got {margin}; FaceNet has 0.2")
    violation = (scaled(negatives, 0.5) - scaled(positive, 0.5)[:, None] + margin).clamp(min=0)  # [B, K]
    if log_weight is not None:
        violation = violation * log_weight.to(violation.dtype).exp()
    n = count_weights(negatives, log_weight)
    return (violation.sum(dim=1) / torch.where(n > 0, n, 1.0)).mean()


def _mean(loss: Tensor, met: Tensor) -> Tensor:
    """The mean over the anchors where `met`; 0 where there are none. Shapes: [B], bool [B] → []."""
    return torch.where(met, loss, 0.0).sum() / met.sum().clamp(min=1)


def softplus(x: Tensor) -> Tensor:
    """log(1 + e^x), without torch's shortcut at 20, which is off by 2e-9. Any shape."""
    return F.softplus(x, threshold=40)


def _corrected(
    positive: Tensor, negatives: Tensor, temperature: float, log_weight: Tensor | None, tau_plus: float, beta: float
) -> tuple[Tensor, Tensor, Tensor]:
    """log e^{s⁺/t}, log N_g and where the floor of N_g binds, each [B]; all of it is scaled by e^{−m} on the way."""
    if not 0 <= tau_plus < 1:
        raise ValueError(f"tau_plus, the share of the anchor's class, must lie in [0, 1), got {tau_plus}")
    if beta < 0:
        raise ValueError(f"hard: beta must not be negative, got {beta}; 0 is debiased, the authors use 0.5 to 2")
    positives = scaled(positive if positive.ndim == 2 else positive[:, None], temperature)  # [B, M]
    n = count_weights(negatives, log_weight)  # N, [B]
    log_neg = log_sum_exp(negatives, temperature, log_weight)  # log Σ e^{s/t}
    if beta:
        log_importance = log_sum_exp(negatives, temperature / beta, log_weight)  # log Σ e^{βs/t}
        weighted = n.log() + log_sum_exp(negatives, temperature / (1 + beta), log_weight) - log_importance
        log_neg = torch.where(n > 0, weighted, log_neg)  # −∞ where no negative is left
    m = torch.maximum(positives.amax(dim=1), log_neg).detach()
    ng = ((log_neg - m).exp() - n * tau_plus * (positives - m[:, None]).exp().mean(dim=1)) / (1 - tau_plus)
    log_floor = n.log() - 1 / temperature
    clamped = ng <= (log_floor - m).exp()
    log_ng = torch.where(clamped, log_floor, torch.where(clamped, 1.0, ng).log() + m)
    return positives[:, 0], log_ng, clamped


def clamped_fraction(
    positive: Tensor,
    negatives: Tensor,
    *,
    temperature: float,
    log_weight: Tensor | None = None,
    tau_plus: float = 0.1,
    beta: float = 0.0,
) -> dict[str, Tensor]:
    """Share of the anchors at which N_g is clamped, which cuts the gradient of the negatives that they have."""
    _, log_ng, clamped = _corrected(positive, negatives, temperature, log_weight, tau_plus, beta)
    clamped = clamped & ~log_ng.isneginf()
    return {"clamped_fraction": clamped.float().mean()}


def _hard_clamped_fraction(*similarities: Tensor, beta: float = 1.0, **arguments: object) -> dict[str, Tensor]:
    return clamped_fraction(*similarities, beta=beta, **arguments)  # type: ignore[arg-type]


OBSERVERS[debiased] = clamped_fraction
OBSERVERS[hard] = _hard_clamped_fraction
