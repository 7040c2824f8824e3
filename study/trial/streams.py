"""Random numbers of a trial: independent streams under its seed, for each part of it and each epoch."""

from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum

import numpy as np
import torch


class Stream(IntEnum):
    """Independent streams of random numbers under a trial's seed."""

    ENCODER = 0
    HEAD = 1
    METHOD = 2
    ORDER = 3
    VIEWS = 4
    STEP = 5
    EVALUATION = 6
    PROBE = 7
    LAYERS = 8


def generator(device: torch.device | str, *words: int) -> torch.Generator:
    """A generator whose seed is a hash of the words: independent streams for (seed, stream, epoch)."""
    return torch.Generator(device).manual_seed(seed_of(*words))


def seed_of(*words: int) -> int:
    """A hash of the words."""
    state = np.random.SeedSequence(words).generate_state(2, np.uint32)
    return (int(state[0]) << 31) ^ int(state[1])


@contextmanager
def layers_draw(device: torch.device, seed: int, *words: int) -> Iterator[None]:
    """Seed what layers draw within (dropout, stochastic depth) by a hash of the words, on the CPU and the GPU.

    Layers draw from torch's global generators, which are as they were afterwards.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed_of(seed, Stream.LAYERS, *words))
        yield
