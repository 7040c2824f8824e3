"""Batch normalisation over parts of the batch, as over the devices of a machine that has several (He 2019), and over a
batch that several ranks share."""

from collections.abc import Callable
from typing import Self, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from models.ranks import gathered

Layer = TypeVar("Layer", bound=_BatchNorm)


class SplitBatchNorm(_BatchNorm):
    """Statistics of each of `splits` parts of the batch, B / splits samples in their order; the running ones' mean.

    In evaluation it is an ordinary one. Source: 1911.05722, §3.3, on one device as in the authors' CIFAR demo.
    """

    splits: int
    shared: bool
    """whether it is given a rank's share of the batch, of splits / N parts"""

    @classmethod
    def of(cls, whole: _BatchNorm, splits: int) -> Self:
        """The same layer, parameters and statistics included."""
        made = _alike(cls, whole)
        made.shared = isinstance(whole, SharedBatchNorm)
        made.splits = splits // dist.get_world_size() if made.shared else splits
        return made

    def _check_input_dim(self, input: Tensor) -> None:
        """Images and vectors alike."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or self.running_mean is None or self.running_var is None:
            return super().forward(input)
        means, variances = self.running_mean.repeat(self.splits, 1), self.running_var.repeat(self.splits, 1)
        momentum = 0.1 if self.momentum is None else self.momentum
        normalised = [
            F.batch_norm(part, mean, variance, self.weight, self.bias, True, momentum, self.eps)
            for part, mean, variance in zip(input.chunk(self.splits), means, variances, strict=True)
        ]
        with torch.no_grad():
            means, variances = means.mean(dim=0), variances.mean(dim=0)
            if self.shared:
                means, variances = gathered(torch.stack([means, variances])[None]).mean(dim=0)
            self.running_mean.copy_(means)
            self.running_var.copy_(variances)
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return torch.cat(normalised)


def split_batch_norm(module: nn.Module, splits: int) -> None:
    """Make every batch normalisation within the module one over parts of the batch."""
    _exchange(module, lambda whole: SplitBatchNorm.of(whole, splits))


class SharedBatchNorm(_BatchNorm):
    """Statistics of the whole batch, of which each rank has an equal share; in evaluation an ordinary one.

    On every device, where torch.nn.SyncBatchNorm is for GPUs alone.
    """

    def _check_input_dim(self, input: Tensor) -> None:
        """Images and vectors alike."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training:
            return super().forward(input)
        x = input.to(torch.promote_types(input.dtype, torch.float32))
        own = torch.stack(torch.var_mean(x, [0, *range(2, x.ndim)], correction=0))  # [2, C]
        variances, means = gathered(own[None]).unbind(dim=1)  # [N, C] each
        mean = means.mean(dim=0)
        variance = variances.mean(dim=0) + means.var(dim=0, correction=0)
        self._follow(mean.detach(), variance.detach(), count=len(means) * x.numel() // x.shape[1])
        scale = (variance + self.eps).rsqrt() * (self.weight if self.affine else 1.0)
        shift = (self.bias if self.affine else 0.0) - mean * scale
        shape = (1, -1, *[1] * (x.ndim - 2))
        return (x * scale.view(shape) + shift.view(shape)).to(input.dtype)

    def _follow(self, mean: Tensor, variance: Tensor, *, count: int) -> None:
        """Move the running statistics towards those of a batch of `count` values a channel."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        momentum = self.num_batches_tracked.reciprocal() if self.momentum is None else self.momentum
        self.running_mean.lerp_(mean.to(self.running_mean.dtype), momentum)
        self.running_var.lerp_(variance.to(self.running_var.dtype) * (count / max(count - 1, 1)), momentum)


def share_batch_norm(module: nn.Module) -> None:
    """Make every batch normalisation within the module one over the batch that the ranks share."""
    _exchange(module, lambda whole: _alike(SharedBatchNorm, whole))


def _exchange(module: nn.Module, of: Callable[[_BatchNorm], _BatchNorm]) -> None:
    """Put in the place of every batch normalisation within the module what `of` makes of it."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, of(child))
        else:
            _exchange(child, of)


def _alike(kind: type[Layer], whole: _BatchNorm) -> Layer:
    """A layer of that kind with the same settings, parameters and statistics."""
    made = kind(whole.num_features, whole.eps, whole.momentum, whole.affine, whole.track_running_stats)
    made._parameters, made._buffers = whole._parameters, whole._buffers
    return made
