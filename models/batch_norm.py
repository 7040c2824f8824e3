"""Batch normalisation over parts of the batch, as over the devices of a machine that has several (He 2019)."""

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm


class SplitBatchNorm(_BatchNorm):
    """Statistics of each of `splits` parts of the batch, B / splits samples in their order; the running ones' mean.

    In evaluation it is an ordinary one. Source: 1911.05722, §3.3, on one device as in the authors' CIFAR demo.
    """

    splits: int

    @classmethod
    def of(cls, whole: _BatchNorm, splits: int) -> Self:
        """The same layer, parameters and statistics included."""
        made = cls(whole.num_features, whole.eps, whole.momentum, whole.affine, whole.track_running_stats)
        made._parameters, made._buffers, made.splits = whole._parameters, whole._buffers, splits
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
            self.running_mean.copy_(means.mean(dim=0))
            self.running_var.copy_(variances.mean(dim=0))
            if self.num_batches_tracked is not None:
                self.num_batches_tracked.add_(1)
        return torch.cat(normalised)


def split_batch_norm(module: nn.Module, splits: int) -> None:
    """Make every batch normalisation within the module one over parts of the batch."""
    for name, child in module.named_children():
        if isinstance(child, _BatchNorm):
            setattr(module, name, SplitBatchNorm.of(child, splits))
        else:
            split_batch_norm(child, splits)
