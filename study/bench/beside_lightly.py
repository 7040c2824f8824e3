"""A trial's steps beside lightly's SimCLR: the same networks, views, batch and optimizer, in turns."""

import itertools
import statistics
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor, nn

from models.augment import MEAN, STD, SimCLRViews
from models.precision import autocast
from study.bench.turns import in_turns, own_step
from study.data import Split
from study.trial.streams import generator
from study.trial.training import Training
from study.trial.views import sent, view_of

ABSENT = "lightly is not installed: not compared; `pip install lightly` first"


def installed() -> bool:
    """Whether lightly can be imported; said in a line where it cannot."""
    found = find_spec("lightly") is not None
    if not found:
        print(ABSENT, file=sys.stderr)
    return found


def beside_lightly(work: Training, seconds: float) -> dict[str, Any]:
    """Views per second of a trial's step, of lightly's training, and of lightly's loss on views that are drawn as the
    trial's are, in turns: medians of the rounds. `ratio` and `ratio_of_loss`: the trial against each, the median of the
    rounds'; `…_of_cpu`: of the seconds of processors, which busy neighbours lengthen less.

    Lightly's training is its documented one: SimCLRTransform image by image in a DataLoader, NTXentLoss on the heads'
    outputs. Its transform has the trial's augmentation (SimCLRViews as it comes, no blur); the precision is the same.
    """
    steps = (own_step(work), _step(work, _their_views(work)), _step(work, _our_views(work)))
    rounds = in_turns(steps, seconds, work.device)
    views = work.trial.parts.method.views * work.batch_size
    found = {
        f"{name}_views_per_s": views / statistics.median(timed[at][0] for timed in rounds)
        for at, name in enumerate(("trial", "lightly", "lightly_loss"))
    }
    for clock, of in enumerate(("", "_of_cpu")):
        for at, name in enumerate(("ratio", "ratio_of_loss"), start=1):
            found[name + of] = statistics.median(timed[at][clock] / timed[0][clock] for timed in rounds)
    return found | {"rounds": len(rounds), "batch_size": work.batch_size, "precision": work.precision}


class _Images(torch.utils.data.Dataset[list[Tensor]]):
    def __init__(self, split: Split) -> None:
        from lightly.transforms.simclr_transform import SimCLRTransform

        ours, (height, _) = SimCLRViews(), split.inputs.shape[1:3]
        self._split = split
        self._transform = SimCLRTransform(
            input_size=height,
            cj_prob=ours.jitter_probability,
            cj_strength=ours.strength,
            min_scale=ours.min_scale,
            random_gray_scale=ours.grey_probability,
            gaussian_blur=0.0,
            normalize={"mean": [MEAN] * 3, "std": [STD] * 3},
        )

    def __len__(self) -> int:
        return len(self._split)

    def __getitem__(self, index: int) -> list[Tensor]:
        from PIL import Image

        views: list[Tensor] = self._transform(Image.fromarray(self._split.take(slice(index, index + 1))[0]))
        return views


def _their_views(work: Training) -> Iterator[Tensor]:
    """Both views [2B, 3, H, W] of a batch after the other, from a DataLoader in this process."""
    loader = torch.utils.data.DataLoader(
        _Images(work.data.train), batch_size=work.batch_size, shuffle=True, drop_last=True
    )
    for _ in itertools.count():
        for views in loader:
            yield torch.cat(views).to(work.device, memory_format=torch.channels_last)


def _our_views(work: Training) -> Iterator[Tensor]:
    draw = generator("cpu", 0)
    for index in itertools.cycle(work.order()):
        inputs = work.train.take(index, sent(index, work.device))
        yield torch.cat([view_of(work.augmentation, inputs, generator=draw) for _ in range(2)])


def _step(work: Training, views: Iterator[Tensor]) -> Callable[[], None]:
    """A step of lightly's SimCLR on networks of the trial's kind, the making of its views included."""
    from lightly.loss import NTXentLoss

    encoder = work.trial.parts.encoder().to(work.device)
    both = nn.Sequential(encoder, work.trial.parts.head(encoder.feature_dim).to(work.device))
    optimizer = work.trial.parts.optimizer.optimizer(both)
    criterion = NTXentLoss(temperature=work.trial.parts.temperature.at(0.0))

    def step() -> None:
        x = next(views)
        with autocast(work.precision, work.device):
            z = both(x)
        loss = criterion(*z.float().chunk(2))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step
