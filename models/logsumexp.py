"""log Σ_k w_k e^{s_k/t}, the sum over the negatives that every objective is made of."""

import torch
from torch import Tensor


def scaled(similarity: Tensor, temperature: float) -> Tensor:
    """Logits s/t, at least in float32: a bf16 cosine divided by t = 0.02 is off by a tenth of a nat."""
    return similarity.to(torch.promote_types(similarity.dtype, torch.float32)) / temperature


def log_sum_exp(similarity: Tensor, temperature: float, log_weight: Tensor | None = None) -> Tensor:
    """log Σ_k w_k e^{s_k/t}; −∞, with gradient 0, where nothing is left. Shapes: [B, K], [B, K] → [B]."""
    logits = scaled(similarity, temperature)
    return (logits if log_weight is None else logits + log_weight).logsumexp(dim=1)


def count_weights(similarity: Tensor, log_weight: Tensor | None) -> Tensor:
    """N = Σ_k w_k, the number of negatives, in the similarities' type (float32 at least). Shape: [B]."""
    dtype = torch.promote_types(similarity.dtype, torch.float32)
    if log_weight is None:
        return torch.full(similarity.shape[:1], similarity.shape[1], dtype=dtype, device=similarity.device)
    return log_weight.to(dtype).exp().sum(dim=1)
