"""Convolutions over small maps on a CPU, as one matrix product."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

POSITIONS = 16
"""Most positions of an output map that is computed as a product; of larger maps oneDNN's convolutions are as fast."""


def multiply_small_maps(network: nn.Module) -> None:
    """Let the convolutions of a network be computed as matrix products where that is faster: see `Product2d`.

    Parameters, their names and what is computed stay; so do convolutions of a class of their own, and such with
    groups, dilation or another padding than zeros.
    """
    for layer in network.modules():
        plain = type(layer) is nn.Conv2d and layer.groups == 1 and layer.dilation == (1, 1)
        if plain and layer.padding_mode == "zeros" and not isinstance(layer.padding, str):
            layer.__class__ = Product2d


class Product2d(nn.Conv2d):
    """A convolution that is a product of patches and weights on a CPU, where its output has at most 16 positions.

    There a channel's map is too small for a convolution's loops: with oneDNN, backward passes over 4×4 and 2×2 maps
    take several times as long as the product (docs/results/bench.md).
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """[B, C, H, W] to [B, O, H', W']."""
        height, width = (
            (side + 2 * pad - kernel) // stride + 1
            for side, pad, kernel, stride in zip(
                inputs.shape[2:], self._padding, self.kernel_size, self.stride, strict=True
            )
        )
        exported = torch.compiler.is_compiling()  # then for batches of any size
        if inputs.device.type != "cpu" or exported or not 0 < height * width <= POSITIONS:
            return super().forward(inputs)
        weight = self.weight
        if torch.is_autocast_enabled("cpu"):
            dtype = torch.get_autocast_dtype("cpu")
            inputs, weight = inputs.to(dtype), weight.to(dtype)
        down, right = self._padding
        padded = F.pad(inputs.permute(0, 2, 3, 1), (0, 0, right, right, down, down))
        outputs = _Product.apply(padded, weight.permute(0, 2, 3, 1), self.stride, (height, width))
        outputs = outputs if self.bias is None else outputs + self.bias.to(outputs.dtype)
        return outputs.permute(0, 3, 1, 2)

    @property
    def _padding(self) -> tuple[int, int]:
        assert not isinstance(self.padding, str)  # by `multiply_small_maps`
        return self.padding[0], self.padding[1]


class _Product(torch.autograd.Function):
    """Inputs [B, H, W, C], which are padded already, and weights [O, h, w, C] to [B, H', W', O]."""

    @staticmethod
    def forward(ctx: Any, inputs: Tensor, weight: Tensor, stride: tuple[int, int], size: tuple[int, int]) -> Tensor:
        count, (height, width), (_, *kernel, _) = len(inputs), size, weight.shape
        ctx.windows = _windows(kernel, stride, size)
        ctx.save_for_backward(inputs, weight)
        return (_patches(inputs, ctx.windows).flatten(0, 2) @ weight.flatten(1).T).view(count, height, width, -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor, None, None]:
        inputs, weight = ctx.saved_tensors
        patches = _patches(inputs, ctx.windows)
        rows = gradient.flatten(0, 2)  # [B·H'·W', O]
        of_weight = (rows.T @ patches.flatten(0, 2)).view_as(weight)
        of_inputs = None
        if ctx.needs_input_grad[0]:
            of_patches = (rows @ weight.flatten(1)).view_as(patches)
            of_inputs = gradient.new_zeros(inputs.shape)
            for window, part in zip(ctx.windows, of_patches.chunk(len(ctx.windows), dim=3), strict=True):
                of_inputs[window] += part
        return of_inputs, of_weight, None, None


def _patches(inputs: Tensor, windows: list[tuple[slice, ...]]) -> Tensor:
    """[B, H', W', h·w·C]"""
    return torch.cat([inputs[window] for window in windows], dim=3)


def _windows(kernel: list[int], stride: tuple[int, int], size: tuple[int, int]) -> list[tuple[slice, ...]]:
    """For each element of the kernel the inputs that it meets, one at every position of the output."""
    rows, columns = (
        [slice(first, first + step * (count - 1) + 1, step) for first in range(side)]
        for side, step, count in zip(kernel, stride, size, strict=True)
    )
    return [(slice(None), row, column) for row in rows for column in columns]
