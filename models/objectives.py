"""Objectives: from similarities and log-weights to a loss in nats. They never sample.

Every objective has the signature `(positive[B], negatives[B, K], *, temperature, log_weight=None, **params)`, takes raw
cosines, divides them by the temperature itself, and returns the mean over the B anchors. `log_weight[B, K]` is the
selection's log-weight of each negative; −∞ leaves it out.
"""

import torch
from torch import Tensor

from models.registry import Registry

OBJECTIVES = Registry("objective")


def scaled(similarity: Tensor, temperature: float, log_weight: Tensor | None = None) -> Tensor:
    """Logits s/t + log w, at least in float32: a bf16 cosine divided by t = 0.02 is off by a tenth of a nat."""
    logits = similarity.to(torch.promote_types(similarity.dtype, torch.float32)) / temperature
    return logits if log_weight is None else logits + log_weight


@OBJECTIVES.register("info_nce", directions="one")
def info_nce(positive: Tensor, negatives: Tensor, *, temperature: float, log_weight: Tensor | None = None) -> Tensor:
    """InfoNCE: −s⁺/t + log(e^{s⁺/t} + Σ_k w_k e^{s_k/t}), one view's anchors against the other's keys (Oord 2018).

    Shapes: positive [B], negatives [B, K], log_weight [B, K]. Nats. Source: 1807.03748, eq. 4; as in MoCo, 1911.05722,
    eq. 1, and the L_cont of Nozawa & Sato, 2102.06866.
    """
    s_pos = scaled(positive, temperature)  # [B]
    log_negatives = scaled(negatives, temperature, log_weight).logsumexp(dim=1)  # [B]
    return (torch.logaddexp(s_pos, log_negatives) - s_pos).mean()


@OBJECTIVES.register("nt_xent", directions="both")
def nt_xent(positive: Tensor, negatives: Tensor, *, temperature: float, log_weight: Tensor | None = None) -> Tensor:
    """NT-Xent: InfoNCE with both views as anchors, over the 2B − 2 other embeddings of the batch (Chen 2020).

    Shapes: positive [2B], negatives [2B, 2B − 2] (or the K of them that are offered). Nats. Source: 2002.05709, eq. 1.
    """
    return info_nce(positive, negatives, temperature=temperature, log_weight=log_weight)
