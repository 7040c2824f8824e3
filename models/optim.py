"""Optimizers with the learning rate of each step; weight decay acts on weights alone."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from models.registry import Registry

OPTIMIZERS = Registry("optimizer")


def learning_rate(step: int, *, base: float, warmup_steps: int, total_steps: int) -> float:
    """Linear warm-up, then half a cosine down to 0 (Loshchilov & Hutter 2016, arXiv 1608.03983, eq. 5, one period).

        base · (step + 1) / warmup_steps                                              for step < warmup_steps
        base · (1 + cos(π (step − warmup_steps) / (total_steps − warmup_steps))) / 2  for the others

    Steps count from 0 to total_steps − 1.
    """
    if step < warmup_steps:
        return base * (step + 1) / warmup_steps
    return base * (1 + math.cos(math.pi * (step - warmup_steps) / (total_steps - warmup_steps))) / 2


def set_learning_rate(optimizer: torch.optim.Optimizer, value: float) -> None:
    """Give every group of parameters that learning rate."""
    for group in optimizer.param_groups:
        group["lr"] = value


def parameter_groups(module: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """The trained parameters: matrices and kernels with weight decay, biases and normalisation without."""
    trained = [p for p in module.parameters() if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]


def fused(module: nn.Module) -> bool | None:
    """Whether the optimizer's step is one kernel: on a GPU, where it also skips a step that overflowed unasked."""
    return any(p.is_cuda for p in module.parameters()) or None  # None: as torch chooses


@dataclass(frozen=True, kw_only=True)
class Optimization(ABC):
    """What all optimizers share: the schedule and the weight decay. Subclass, register, and give `optimizer`."""

    learning_rate: float
    """the largest learning rate, reached when the warm-up ends"""
    weight_decay: float
    """of matrices and kernels; biases and normalisation have none"""
    warmup_epochs: float = 1.0
    """epochs in which the learning rate rises linearly; a cosine takes it down to 0 afterwards"""

    def __post_init__(self) -> None:
        if not self.learning_rate > 0:
            raise ValueError(f"learning_rate must be above 0, got {self.learning_rate}; give for instance 0.1")
        if not self.weight_decay >= 0:
            raise ValueError(f"weight_decay must be 0 or more, got {self.weight_decay}; give for instance 0.0001")
        if not self.warmup_epochs >= 0:
            raise ValueError(f"warmup_epochs must be 0 or more, got {self.warmup_epochs}; give for instance 1")

    def check(self, epochs: int) -> None:
        """ValueError where the warm-up is longer than the training."""
        if self.warmup_epochs > epochs:
            raise ValueError(
                f"warmup_epochs {self.warmup_epochs} is longer than the training of {epochs} epochs; "
                "lower warmup_epochs or raise epochs"
            )

    def learning_rate_at(self, step: int, *, steps_per_epoch: int, epochs: int) -> float:
        """The learning rate of a step, counted from 0 over the whole training."""
        return learning_rate(
            step,
            base=self.learning_rate,
            warmup_steps=round(self.warmup_epochs * steps_per_epoch),
            total_steps=epochs * steps_per_epoch,
        )

    @abstractmethod
    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        """An optimizer of the module's trained parameters; its `state_dict` is all that a resumed training needs."""


@OPTIMIZERS.register("sgd")
@dataclass(frozen=True, kw_only=True)
class SGD(Optimization):
    """Stochastic gradient descent with momentum."""

    learning_rate: float = 0.1
    weight_decay: float = 1e-4
    momentum: float = 0.9
    nesterov: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_moment("momentum", self.momentum)
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov needs momentum above 0, got 0; give momentum=0.9 or nesterov=False")

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        groups = parameter_groups(module, self.weight_decay)
        return torch.optim.SGD(
            groups, lr=self.learning_rate, momentum=self.momentum, nesterov=self.nesterov, fused=fused(module)
        )


@OPTIMIZERS.register("adamw")
@dataclass(frozen=True, kw_only=True)
class AdamW(Optimization):
    """Adam with decoupled weight decay (Loshchilov & Hutter 2017, arXiv 1711.05101)."""

    learning_rate: float = 1e-3
    weight_decay: float = 1e-2
    beta1: float = 0.9
    beta2: float = 0.999

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_moment("beta1", self.beta1)
        _check_moment("beta2", self.beta2)

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        groups = parameter_groups(module, self.weight_decay)
        return torch.optim.AdamW(groups, lr=self.learning_rate, betas=(self.beta1, self.beta2), fused=fused(module))


def _check_moment(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value}; give for instance 0.9")
