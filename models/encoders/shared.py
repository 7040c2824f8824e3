"""An encoder over the ranks of a trial: each passes its share of the batch, and every rank gets all features."""

from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from models.batch_norm import share_batch_norm
from models.ranks import gathered, own_share


def share(encoder: nn.Module, *, rows: int | None = None) -> None:
    """Let each rank encode its share of a batch [B, …], and return the features [B, F] of all.

    All are given the whole batch; or, with `rows`, each its own so many rows of one view after another [V · rows, …],
    whose features are then those of whole views, [V · B, F]. So in training mode; batch normalisation then has the
    statistics of the whole batch. In evaluation the encoder is as it was, for one rank alone. A copy is shared alike,
    and names in `state_dict` stay.
    """
    share_batch_norm(encoder)
    shared = _Shared(rows)
    encoder.register_forward_pre_hook(shared.before)
    encoder.register_forward_hook(shared.after)


class _Shared:
    """The hooks of an encoder; between them torch's global generators are the rank's own, for layers that draw."""

    number = 0  # the same on all ranks

    def __init__(self, rows: int | None) -> None:
        self.rows = rows

    def before(self, encoder: nn.Module, inputs: tuple[Any, ...]) -> tuple[Tensor] | None:
        if not encoder.training:
            return None
        (x,), own = inputs, own_share()
        if self.rows is None and len(x) % own.ranks:
            raise ValueError(
                f"{len(x)} inputs do not part into {own.ranks} equal shares; choose a multiple as batch_size"
            )
        self.number = int(torch.randint(2**62, ()))
        torch.manual_seed(self.number + 1 + own.rank)
        return (own.of(x) if self.rows is None else x,)

    def after(self, encoder: nn.Module, inputs: tuple[Any, ...], features: Tensor) -> Tensor | None:
        if not encoder.training:
            return None
        torch.manual_seed(self.number)
        found = gathered(features)
        if self.rows is None or len(features) == self.rows:
            return found
        return found.view(dist.get_world_size(), -1, self.rows, *found.shape[1:]).transpose(0, 1).reshape(found.shape)
