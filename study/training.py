"""A training at work: networks, optimizer and epoch, deterministic under its seed, checkpointed at epoch ends."""

import dataclasses
import functools
import inspect
import io
import itertools
import logging
import math
import pickle
import time
import zipfile
import zlib
from collections.abc import Iterator
from enum import IntEnum
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from models.contrast import Contrast, Moment
from models.encoders import seeded
from models.methods import Batch, Learner, Setting
from models.optim import set_learning_rate
from models.precision import autocast
from models.precision import resolve as resolve_precision
from study.data import Dataset
from study.evaluation.geometry import alignment, uniformity
from study.resolve import Trial
from study.semantics import selection_statistics
from study.store import TrialFolder
from study.views import view_of

log = logging.getLogger(__name__)

OBSERVED_STEPS = 8
"""Steps of an epoch, evenly spaced, at which what is only logged is computed."""


PROBED = 256
"""Training examples on which alignment and uniformity are followed from epoch to epoch."""


class Diverged(RuntimeError):
    """The loss is not finite: going on would only spend compute."""


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


def generator(device: torch.device | str, *words: int) -> torch.Generator:
    """A generator whose seed is a hash of the words: independent streams for (seed, stream, epoch)."""
    state = np.random.SeedSequence(words).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed((int(state[0]) << 31) ^ int(state[1]))


def supply(component: Any, **facts: Any) -> Any:
    """The component with what the data decides (vocabulary_size) filled in, where it takes that and is not given it."""
    if dataclasses.is_dataclass(component) and not isinstance(component, type):
        known = {f.name for f in dataclasses.fields(component)}
        return dataclasses.replace(component, **{n: v for n, v in facts.items() if n in known})
    known = set(inspect.signature(component.func).parameters)
    return functools.partial(component, **{n: v for n, v in facts.items() if n in known})


def memory_mib(device: torch.device) -> float:
    """Memory in use: the allocator's peak on a GPU, the process's resident set otherwise."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return psutil.Process().memory_info().rss / 2**20


class Training:
    """The state of a training: networks, optimizer and epoch; everything that a checkpoint holds."""

    def __init__(self, trial: Trial, data: Dataset, device: torch.device) -> None:
        config = trial.config
        self.trial, self.data, self.device = trial, data, device
        self.seed, self.epochs, self.batch_size = config["seed"], config["epochs"], config["batch_size"]
        self.precision = resolve_precision(config["precision"], device)
        facts = {"vocabulary_size": data.vocabulary_size} if data.vocabulary_size else {}
        self.augmentation = supply(trial.augmentation, **facts)
        self.steps = len(data.train) // self.batch_size
        self.semantics = trial.meaning.semantics(data.classes)
        self.learner = self._learner(facts).to(device)
        self.optimizer = trial.optimizer.optimizer(self.learner)
        self.epoch, self.seconds, self.peak_mib = 0, 0.0, 0.0

    def _learner(self, facts: dict[str, Any]) -> Learner:
        encoder = seeded(supply(self.trial.encoder, **facts), seed=self._word(Stream.ENCODER))
        head = seeded(lambda: self.trial.head(encoder.feature_dim), seed=self._word(Stream.HEAD))
        setting = Setting(
            batch_size=self.batch_size,
            train_count=len(self.data.train),
            classes=len(self.data.classes),
            steps=self.steps * self.epochs,
            generator=generator("cpu", self.seed, Stream.METHOD),
        )
        return seeded(
            lambda: self.trial.method.learner(encoder, head, self._contrast(), setting),
            seed=self._word(Stream.METHOD),
        )

    def _contrast(self) -> Contrast | None:
        """The trial's, told what it may observe of the classes, and their similarity if it selects by meaning."""
        contrast = self.trial.contrast
        if contrast is None or self.data.train.labels is None:
            return contrast
        measure, matrix = contrast.strategy.needs_similarity, None
        if measure is not None:
            matrix = torch.from_numpy(self.semantics.similarities[measure]).to(self.device, torch.float32)
        return dataclasses.replace(contrast, class_similarity=matrix, classes=len(self.data.classes))

    def _word(self, stream: int) -> int:
        return generator("cpu", self.seed, stream).initial_seed()

    def views(self, inputs: np.ndarray, draw: torch.Generator) -> Tensor:
        """An augmented view of each of these inputs, on the device."""
        inputs_here = torch.from_numpy(np.ascontiguousarray(inputs)).to(self.device)
        return view_of(self.augmentation, inputs_here, generator=draw)

    def batches(self) -> Iterator[np.ndarray]:
        """The epoch's batches as indices into the training split: each example at most once."""
        order = torch.randperm(len(self.data.train), generator=generator("cpu", self.seed, Stream.ORDER, self.epoch))
        for step in range(self.steps):
            yield order[step * self.batch_size : (step + 1) * self.batch_size].numpy()

    def time_steps(self, count: int) -> float:
        """Seconds a training step takes, the first one left out; the state is spent afterwards."""
        draws = (generator(self.device, 0), generator(self.device, 1))
        times = []
        for step, index in zip(range(count + 1), itertools.cycle(self.batches()), strict=False):
            started = time.perf_counter()
            self._step(step, index, *draws, observe=False)
            times.append(time.perf_counter() - started)
        self.peak_mib = memory_mib(self.device)
        return float(np.median(times[1:]))

    def train_epoch(self) -> dict[str, float]:
        """One pass over the training split; the epoch's mean metrics. Raises Diverged."""
        started = time.perf_counter()
        draw_views = generator(self.device, self.seed, Stream.VIEWS, self.epoch)
        draw_step = generator(self.device, self.seed, Stream.STEP, self.epoch)
        stride = max(self.steps // OBSERVED_STEPS, 1)
        losses, observed = [], []
        self.learner.train()
        for step, index in enumerate(self.batches()):
            loss, seen = self._step(step, index, draw_views, draw_step, observe=step % stride == 0)
            losses.append(loss)
            observed += [seen] if seen else []
        self.epoch += 1
        seconds = time.perf_counter() - started
        self.seconds += seconds
        self.peak_mib = max(self.peak_mib, memory_mib(self.device))
        metrics = {
            "loss": float(np.mean(losses)),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "temperature": self.trial.temperature.at(self.epoch / self.epochs),
            "views_per_s": self.trial.method.views * self.batch_size * self.steps / seconds,
        }
        masses = [(seen.pop("mass.selected"), seen.pop("mass.offered")) for seen in observed if "mass.selected" in seen]
        names = observed[0] if observed else {}
        metrics |= {name: float(np.mean([float(seen[name]) for seen in observed])) for name in names}
        return {f"train.{name}": value for name, value in metrics.items()} | self._selection(masses)

    def _selection(self, masses: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """What the epoch's selections mean, from the [C, C] masses of the observed steps; nothing without labels."""
        if not masses:
            return {}
        selected, offered = (torch.stack(part).sum(dim=0).cpu().numpy() for part in zip(*masses, strict=True))
        return selection_statistics(selected, offered, self.semantics.similarities)

    @torch.no_grad()
    def geometry(self) -> dict[str, float]:
        """Alignment and uniformity of two views of the same few training examples after every epoch."""
        count = min(PROBED, len(self.data.train))
        index = np.linspace(0, len(self.data.train) - 1, count).astype(np.int64)
        draw = generator(self.device, self.seed, Stream.PROBE)
        self.learner.eval()
        with autocast(self.precision, self.device):
            x, y = (self.learner.project(self.views(self.data.train.inputs[index], draw)) for _ in range(2))
        return {"train.alignment": float(alignment(x, y)), "train.uniformity": float(uniformity(x))}

    def _step(
        self, step: int, index: np.ndarray, draw_views: torch.Generator, draw_step: torch.Generator, *, observe: bool
    ) -> tuple[float, dict[str, Tensor]]:
        total = self.steps * self.epochs
        at = self.epoch * self.steps + step
        inputs, labels = self.data.train.inputs[index], self.data.train.labels
        batch = Batch(
            tuple(self.views(inputs, draw_views) for _ in range(self.trial.method.views)),
            torch.from_numpy(index).to(self.device),
            None if labels is None else torch.from_numpy(labels[index]).to(self.device),
        )
        moment = Moment(draw_step, self.trial.temperature.at(at / total), self.epoch, self.epochs, observe)
        rate = self.trial.optimizer.learning_rate_at(at, steps_per_epoch=self.steps, epochs=self.epochs)
        set_learning_rate(self.optimizer, rate)
        with autocast(self.precision, self.device):
            made = self.learner.step(batch, moment)
        loss = float(made.loss.detach())
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss is {loss} at epoch {self.epoch + 1}, step {step + 1} of {self.steps}; "
                "lower optimizer.learning_rate, raise temperature, or lengthen optimizer.warmup_epochs"
            )
        self.optimizer.zero_grad(set_to_none=True)
        made.loss.backward()
        self.optimizer.step()
        self.learner.after_step((at + 1) / total)
        return loss, made.observed

    def save(self, folder: TrialFolder, *, keep: int) -> None:
        """Checkpoint the completed epoch, all of it or nothing, beside the `keep` − 1 before it."""
        content = io.BytesIO()
        state = {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, content)
        folder.save_checkpoint(self.epoch, content.getvalue(), keep=keep)

    def restore(self, folder: TrialFolder) -> None:
        """Go on from the newest checkpoint that can be read; those that cannot are set aside."""
        found = folder.checkpoints()
        for path in found:
            try:
                state = self._read(path.read_bytes())
                self.learner.load_state_dict(state["learner"])
                self.optimizer.load_state_dict(state["optimizer"])
                self.epoch, self.seconds = state["epoch"], state["seconds"]
                return
            except (
                RuntimeError,
                ValueError,
                KeyError,
                TypeError,
                pickle.UnpicklingError,
                zipfile.BadZipFile,
                zlib.error,
            ) as error:
                aside = path.rename(path.with_name(f"{path.name}.unreadable"))
                log.warning("%s cannot be read (%s): the trial goes on from the checkpoint before it", aside, error)
        if found:  # a state that fitted in part may have been loaded
            fresh = Training(self.trial, self.data, self.device)
            self.learner, self.optimizer, self.epoch, self.seconds = fresh.learner, fresh.optimizer, 0, 0.0

    def _read(self, content: bytes) -> dict[str, Any]:
        """A checkpoint's state. torch does not compare the checksums that it writes, so the archive is tested first."""
        damaged = zipfile.ZipFile(io.BytesIO(content)).testzip()
        if damaged:
            raise ValueError(f"{damaged} is damaged")
        return torch.load(io.BytesIO(content), map_location=self.device, weights_only=True)
