"""Layers in parts of a batch: a gradient through them then holds the activations of one part, not of the whole batch.

Only features stay; each part's activations are computed again when its gradient is. A loss that couples all examples
thus takes the memory of a small batch, where gradient accumulation would have the negatives of a small batch too.
Source: 2101.06983 (GradCache).
"""

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint


def in_chunks(layers: nn.Module, inputs: Tensor, size: int) -> Tensor:
    """Layers of the inputs, `size` at a time: [B, …] → [B, F]. Layers that draw have the same draws both times."""
    return torch.cat([checkpoint(layers, part, use_reentrant=False) for part in inputs.split(size)])


@torch.no_grad()
def mixes_examples(network: nn.Module, inputs: Tensor) -> bool:
    """Whether an example's features depend, in training, on the others of its batch, as by batch normalisation.

    Found by running it: on the first of three different inputs [3, …] beside the second, and beside the third.
    """
    network.train()
    features = []
    for other in (1, 2):
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            features.append(network(inputs[[0, other]])[0])
    return not torch.equal(*features)
