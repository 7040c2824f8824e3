"""Optimizers with the learning rate of each step; weight decay acts on weights alone."""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

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
    """Whether the optimizer's step is one kernel, which also skips a step that overflowed unasked, or None: torch's.

    On a CPU it halves AdamW's time, on a GPU nothing waits.
    """
    return any(p.device.type in ("cpu", "cuda") for p in module.parameters()) or None


def momentum_from_zero(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Begin the momentum of each parameter that has a gradient and none yet at zero: before a step.

    Left to torch's one kernel (2.15), it would be unset memory after a first step that overflows in float16, and an
    error for parameters whose gradients come later than others', such as SwAV's prototypes.
    """
    for p in (p for group in optimizer.param_groups for p in group["params"] if p.grad is not None):
        if optimizer.state[p].get("momentum_buffer") is None:
            optimizer.state[p]["momentum_buffer"] = torch.zeros_like(p)


@dataclass(frozen=True, kw_only=True)
class Optimization(ABC):
    """Base of all optimizers: the schedule and the weight decay. Subclass, register, and give `optimizer`."""

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
        optimizer = torch.optim.SGD(
            groups, lr=self.learning_rate, momentum=self.momentum, nesterov=self.nesterov, fused=fused(module)
        )
        if self.momentum:
            optimizer.register_step_pre_hook(momentum_from_zero)
        return optimizer


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


@OPTIMIZERS.register("lars")
@dataclass(frozen=True, kw_only=True)
class LARS(Optimization):
    """LARS: each layer steps in proportion to its own size (You 2017, arXiv 1708.03888), as SimCLR and BYOL use it.

    v ← m v + lr · η ‖θ‖/‖g‖ · g and θ ← θ − v, with g = ∇L + λ θ; biases and normalisation without η ‖θ‖/‖g‖ and λ.
    SimCLR: lr 0.3 · B/256, λ = 1e-6, 10 epochs of warm-up; BYOL: lr 0.2 · B/256, λ = 1.5e-6.
    """

    learning_rate: float = 0.3
    weight_decay: float = 1e-6
    momentum: float = 0.9
    eta: float = 1e-3
    """η, how far a layer may go of its own size"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_moment("momentum", self.momentum)
        _check_eta(self.eta)

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        weights, others = parameter_groups(module, self.weight_decay)
        groups = [weights | {"eta": self.eta}, others | {"eta": None}]
        return LayerwiseSGD(groups, lr=self.learning_rate, momentum=self.momentum)


@OPTIMIZERS.register("larc")
@dataclass(frozen=True, kw_only=True)
class LARC(Optimization):
    """LARC: LARS as NVIDIA's apex has it, which Nozawa & Sato 2021 train with: of every parameter, biases too.

    v ← m v + r (∇L + λ θ) and θ ← θ − lr · v, with r = η ‖θ‖/(‖∇L‖ + λ ‖θ‖), or min(r/lr, 1) where it is clipped; r = 1
    where either norm is 0. Their lr is 1 · B/256, their λ 1e-4 (weights alone), their warm-up 10 epochs.
    """

    learning_rate: float = 1.0
    weight_decay: float = 1e-4
    momentum: float = 0.9
    eta: float = 1e-3
    """η, how far a layer may go of its own size"""
    clip: bool = False
    """whether r only ever lowers the learning rate; apex's default, but off in Nozawa & Sato's code"""

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_moment("momentum", self.momentum)
        _check_eta(self.eta)

    def optimizer(self, module: nn.Module) -> torch.optim.Optimizer:
        groups = [group | {"eta": self.eta} for group in parameter_groups(module, self.weight_decay)]
        return LayerwiseSGD(groups, lr=self.learning_rate, momentum=self.momentum, larc=True, clip=self.clip)


class LayerwiseSGD(torch.optim.Optimizer):
    """Momentum on gradients that are scaled layer by layer, in groups with an `eta`. Nothing in it waits for a GPU.

    The learning rate is part of the momentum, or with `larc` outside it.
    """

    def __init__(
        self, groups: list[dict[str, Any]], *, lr: float, momentum: float, larc: bool = False, clip: bool = False
    ) -> None:
        super().__init__(groups, {"lr": lr, "momentum": momentum})
        self.larc, self.clip = larc, clip

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        """One step on the gradients there are."""
        for group in self.param_groups:
            parameters = [p for p in group["params"] if p.grad is not None]
            if parameters:
                self._step(parameters, group, lr=group["lr"])

    def _step(self, parameters: list[Tensor], group: dict[str, Any], *, lr: float) -> None:
        for p in parameters:
            if not self.state[p]:
                self.state[p]["momentum_buffer"] = torch.zeros_like(p)
        moved = [self.state[p]["momentum_buffer"] for p in parameters]
        gradients = [p.grad for p in parameters if p.grad is not None]
        steps = list(torch._foreach_add(gradients, parameters, alpha=group["weight_decay"]))
        if group["eta"] is not None:
            torch._foreach_mul_(steps, self._trust(parameters, gradients, steps, group))
        torch._foreach_mul_(moved, group["momentum"])
        torch._foreach_add_(moved, steps, alpha=1.0 if self.larc else lr)
        torch._foreach_add_(parameters, moved, alpha=-lr if self.larc else -1.0)

    def _trust(
        self, parameters: list[Tensor], gradients: list[Tensor], steps: list[Tensor], group: dict[str, Any]
    ) -> list[Tensor]:
        """Share of the learning rate that each parameter takes, [] each."""
        size = torch.stack(torch._foreach_norm(parameters))
        slope = torch.stack(torch._foreach_norm(gradients if self.larc else steps))
        trust = group["eta"] * size / (slope + group["weight_decay"] * size if self.larc else slope)
        if self.clip:
            trust = (trust / group["lr"]).clamp(max=1)
        return list(torch.where((size > 0) & (slope > 0), trust, 1.0).unbind())


def _check_moment(name: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ValueError(f"{name} must be at least 0 and below 1, got {value}; give for instance 0.9")


def _check_eta(eta: float) -> None:
    if not eta > 0:
        raise ValueError(f"eta must be above 0, got {eta}; SimCLR uses 0.001")
