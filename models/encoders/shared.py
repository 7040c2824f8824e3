"""An encoder over the ranks of a trial: each passes its share of the batch, and every rank gets all features."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.batch_norm import share_batch_norm
from models.ranks import gathered


def share(encoder: nn.Module) -> None:
    """Let each rank encode its share of a batch [B, …] that all are given, and return the features [B, F] of all.

    So in training mode; batch normalisation then has the statistics of the whole batch. In evaluation the encoder is as
    it was, for one rank alone. A copy is shared alike, and names in `state_dict` stay.
    """
    share_batch_norm(encoder)
    shared = _Shared()
    encoder.register_forward_pre_hook(shared.before)
    encoder.register_forward_hook(shared.after)


class _Shared:
    """The hooks of an encoder; between them torch's global generators are the rank's own, for layers that draw."""

    number = 0  # the same on all ranks

    def before(self, encoder: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor] | None:
        if not encoder.training:
            return None
        (x,), ranks, rank = inputs, dist.get_world_size(), dist.get_rank()
        if len(x) % ranks:
            raise ValueError(f"{len(x)} inputs do not part into {ranks} equal shares; choose a multiple as batch_size")
        self.number = int(torch.randint(2**62, ()))
        torch.manual_seed(self.number + 1 + rank)
        return (x.chunk(ranks)[rank],)

    def after(self, encoder: nn.Module, inputs: tuple[Any, ...], features: Tensor) -> Tensor | None:
        if not encoder.training:
            return None
        torch.manual_seed(self.number)
        return gathered(features)
