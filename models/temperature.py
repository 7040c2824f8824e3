"""Temperatures t over a training: constant, or scheduled."""

import math
from dataclasses import dataclass

from models.registry import Registry

TEMPERATURES = Registry("temperature")


def _check_positive(name: str, value: float) -> None:
    if not 0 < value < math.inf:
        raise ValueError(f"{name} must be above 0 and finite, got {value}; such as {name}=0.2")


@TEMPERATURES.register("constant")
@dataclass(frozen=True, kw_only=True)
class Constant:
    """The same temperature throughout."""

    value: float = 0.5
    """t"""

    def __post_init__(self) -> None:
        _check_positive("value", self.value)

    def at(self, progress: float) -> float:
        """t at that share of the training, in [0, 1]."""
        return self.value


@TEMPERATURES.register("cosine")
@dataclass(frozen=True, kw_only=True)
class Cosine:
    """From `start` to `end` along half a cosine; with more periods, back and forth (Kukleva 2023, 2303.13664)."""

    start: float
    """t at the beginning"""
    end: float
    """t at the end of the first half period"""
    periods: float = 0.5
    """full periods in the training; 0.5 goes once from start to end"""

    def __post_init__(self) -> None:
        _check_positive("start", self.start)
        _check_positive("end", self.end)
        _check_positive("periods", self.periods)

    def at(self, progress: float) -> float:
        """t at that share of the training, in [0, 1]: end + (start − end)(1 + cos 2π·periods·progress)/2."""
        return self.end + (self.start - self.end) * (1 + math.cos(2 * math.pi * self.periods * progress)) / 2
