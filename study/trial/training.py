"""A training at work: networks, optimizer and epoch, deterministic under its seed, checkpointed at epoch ends."""

import dataclasses
import functools
import inspect
import io
import logging
import math
import pickle
import time
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from enum import IntEnum
from traceback import walk_tb
from typing import Any

import numpy as np
import torch
from torch import Tensor

from models.contrast import Contrast, StepContext
from models.encoders import seeded
from models.methods import Batch, Learner, TrainingContext
from models.optim import set_learning_rate
from models.precision import autocast, choose_precision
from study.data import Dataset
from study.evaluation.geometry import alignment, uniformity
from study.semantics import selection_statistics
from study.storage.store import TrialFolder
from study.trial.devices import synchronise
from study.trial.memory import PeakMemory
from study.trial.trial import Trial
from study.trial.views import Examples, sent, view_of

log = logging.getLogger(__name__)

OBSERVED_STEPS = 8
"""Steps of an epoch, evenly spaced, at which what is only logged is computed."""


OF_NEGATIVES = ("models.contrast", "models.logsumexp", "models.pools", "models.observe")
"""The modules whose matrices are as large as B × K."""

LOOK_EVERY = 32
"""Steps on a GPU from one look at the losses to the next: a look waits for all that was started before."""

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
    LAYERS = 8


def generator(device: torch.device | str, *words: int) -> torch.Generator:
    """A generator whose seed is a hash of the words: independent streams for (seed, stream, epoch)."""
    return torch.Generator(device).manual_seed(seed_of(*words))


def seed_of(*words: int) -> int:
    """A hash of the words."""
    state = np.random.SeedSequence(words).generate_state(2, np.uint32)
    return (int(state[0]) << 31) ^ int(state[1])


@contextmanager
def layers_draw(device: torch.device, *words: int) -> Iterator[None]:
    """What layers draw within (dropout, stochastic depth) comes from a hash of the words, on the CPU and the GPU.

    Layers draw from torch's global generators, which are as they were afterwards.
    """
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed_of(*words, Stream.LAYERS))
        yield


def supply(component: Any, **facts: Any) -> Any:
    """The component with what the data decides (vocabulary_size) filled in, where it takes that and is not given it."""
    if dataclasses.is_dataclass(component) and not isinstance(component, type):
        known = {f.name for f in dataclasses.fields(component)}
        return dataclasses.replace(component, **{n: v for n, v in facts.items() if n in known})
    known = set(inspect.signature(component.func).parameters)
    return functools.partial(component, **{n: v for n, v in facts.items() if n in known})


class Training:
    """The state of a training: networks, optimizer and epoch; everything that a checkpoint holds."""

    def __init__(self, trial: Trial, data: Dataset, device: torch.device) -> None:
        config = trial.config
        self.trial, self.data, self.device = trial, data, device
        self.peak, self.part = (
            PeakMemory(device),
            "putting the networks together",
        )  # what it is at, for an error to tell
        self.train, self.test = Examples(data.train, device), Examples(data.test, device)
        self.seed, self.epochs, self.batch_size = config["seed"], config["epochs"], config["batch_size"]
        self.precision = choose_precision(config["precision"], device)
        facts = {"vocabulary_size": data.vocabulary_size} if data.vocabulary_size else {}
        self.augmentation = supply(trial.parts.augmentation, **facts)
        self.steps = len(data.train) // self.batch_size
        self.semantics = trial.parts.meaning.semantics(data.classes)
        self.learner = self._learner(facts).to(device)
        self.optimizer = trial.parts.optimizer.optimizer(self.learner)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "float16")
        self.epoch, self.seconds = 0, 0.0

    def _learner(self, facts: dict[str, Any]) -> Learner:
        encoder = seeded(supply(self.trial.parts.encoder, **facts), seed=self._word(Stream.ENCODER))
        head = seeded(lambda: self.trial.parts.head(encoder.feature_dim), seed=self._word(Stream.HEAD))
        context = TrainingContext(
            batch_size=self.batch_size,
            train_count=len(self.data.train),
            classes=len(self.data.classes),
            steps=self.steps * self.epochs,
            generator=generator("cpu", self.seed, Stream.METHOD),
        )
        return seeded(
            lambda: self.trial.parts.method.learner(encoder, head, self._contrast(), context),
            seed=self._word(Stream.METHOD),
        )

    def _contrast(self) -> Contrast | None:
        """The trial's, told what it may observe of the classes, and their similarity if it selects by meaning."""
        contrast = self.trial.parts.contrast
        if contrast is None or self.data.train.labels is None:
            return contrast
        measure, matrix = contrast.strategy.needs_similarity, None
        if measure is not None:
            matrix = torch.from_numpy(self.semantics.similarities[measure]).to(self.device, torch.float32)
        return dataclasses.replace(contrast, class_similarity=matrix, classes=len(self.data.classes))

    def _word(self, stream: int) -> int:
        return generator("cpu", self.seed, stream).initial_seed()

    @property
    def peak_mib(self) -> float:
        """The most memory in use since this was made, evaluation included."""
        return self.peak.mib()

    def order(self) -> Tensor:
        """The epoch's batches, [steps, B] indices into the training split: each example at most once."""
        order = torch.randperm(len(self.data.train), generator=generator("cpu", self.seed, Stream.ORDER, self.epoch))
        return order[: self.steps * self.batch_size].view(self.steps, self.batch_size)

    def time_steps(self, count: int) -> float:
        """Seconds a training step takes, the first one left out; the state is spent afterwards.

        On the CPU the median; a GPU is told of all of them before it is waited for, as in a training.
        """
        draws = (generator("cpu", 0), generator(self.device, 1))
        here = self.order()
        there = sent(here, self.device)
        clock = [0.0]
        for step in range(count + 1):
            at = step % self.steps
            self._step(at, here[at], there[at], *draws, observe=False)
            if self.device.type == "cpu" or step in (0, count):
                synchronise(self.device)
                clock.append(time.perf_counter())
        if self.device.type == "cpu":
            return float(np.median(np.diff(clock[1:])))
        return (clock[-1] - clock[1]) / count

    def train_epoch(self) -> dict[str, float]:
        """One pass over the training split; the epoch's mean metrics. Raises Diverged."""
        started = time.perf_counter()
        with layers_draw(self.device, self.seed, self.epoch):
            losses, observed = self._pass()
        self.epoch += 1
        seconds = time.perf_counter() - started
        self.seconds += seconds
        metrics = {
            "loss": float(np.mean(losses)),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "temperature": self.trial.parts.temperature.at(self.epoch / self.epochs),
            "views_per_s": self.trial.parts.method.views * self.batch_size * self.steps / seconds,
        }
        masses = [(seen.pop("mass.selected"), seen.pop("mass.offered")) for seen in observed if "mass.selected" in seen]
        names = observed[0] if observed else {}
        for name in names:
            metrics[name] = float(np.mean(torch.stack([seen[name].double() for seen in observed]).cpu().numpy()))
        return {f"train.{name}": value for name, value in metrics.items()} | self._selection(masses)

    def _pass(self) -> tuple[list[float], list[dict[str, Tensor]]]:
        """The epoch's steps: their losses, and what was observed of some."""
        draw_views = generator("cpu", self.seed, Stream.VIEWS, self.epoch)
        draw_step = generator(self.device, self.seed, Stream.STEP, self.epoch)
        stride = max(self.steps // OBSERVED_STEPS, 1)
        look_every = 1 if self.device.type == "cpu" else LOOK_EVERY
        here = self.order()
        there = sent(here, self.device)
        losses: list[float] = []
        unseen: list[Tensor] = []
        observed: list[dict[str, Tensor]] = []
        self.learner.train()
        for step in range(self.steps):
            try:
                loss, seen = self._step(
                    step, here[step], there[step], draw_views, draw_step, observe=step % stride == 0
                )
            except Exception as error:
                self._look(unseen, len(losses))  # numbers that are none may be what it failed of
                if any(frame.f_globals["__name__"] in OF_NEGATIVES for frame, _ in walk_tb(error.__traceback__)):
                    self.part = "the similarities with the negatives"
                raise
            unseen.append(loss)
            observed += [seen] if seen else []
            if len(unseen) == look_every or step == self.steps - 1:
                losses += self._look(unseen, len(losses))
                unseen = []
        return losses, observed

    def _look(self, unseen: Sequence[Tensor], before: int) -> list[float]:
        """The losses of the last steps; Diverged where one is not finite."""
        losses: list[float] = torch.stack(list(unseen)).tolist() if unseen else []
        for step, loss in enumerate(losses, start=before):
            if not math.isfinite(loss):
                raise Diverged(
                    f"the loss is {loss} at epoch {self.epoch + 1}, step {step + 1} of {self.steps}; "
                    "lower optimizer.learning_rate, raise temperature, or lengthen optimizer.warmup_epochs"
                )
        return losses

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
        index = torch.from_numpy(np.linspace(0, len(self.data.train) - 1, count).astype(np.int64))
        inputs = self.train.take(index, index.to(self.device))
        draw = generator("cpu", self.seed, Stream.PROBE)
        self.learner.eval()
        views = [view_of(self.augmentation, inputs, generator=draw) for _ in range(2)]
        with autocast(self.precision, self.device):
            x, y = (self.learner.project(view) for view in views)
        return {"train.alignment": float(alignment(x, y)), "train.uniformity": float(uniformity(x))}

    def _step(
        self, step: int, here: Tensor, there: Tensor, draw_views: torch.Generator, draw_step: torch.Generator,
        *, observe: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
        """One step on the examples at an index, on the CPU and on the device: its loss, and what was observed of it.

        Nothing in it waits for a GPU.
        """
        total = self.steps * self.epochs
        at = self.epoch * self.steps + step
        self.part = "making views"
        inputs = self.train.take(here, there)
        views = tuple(
            view_of(self.augmentation, inputs, generator=draw_views) for _ in range(self.trial.parts.method.views)
        )
        batch = Batch(views, there, None if self.train.labels is None else self.train.labels[there])
        context = StepContext(
            draw_step, self.trial.parts.temperature.at(at / total), self.epoch, self.epochs, observe, at
        )
        rate = self.trial.parts.optimizer.learning_rate_at(at, steps_per_epoch=self.steps, epochs=self.epochs)
        set_learning_rate(self.optimizer, rate)
        self.part = "the forward pass"
        with autocast(self.precision, self.device):
            made = self.learner.step(batch, context)
        self.part = "the backward pass"
        self.optimizer.zero_grad(set_to_none=True)
        self.scaler.scale(made.loss).backward()
        self.part = "the optimizer's step"
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.learner.after_step((at + 1) / total)
        return made.loss.detach(), made.observed

    def save(self, folder: TrialFolder, *, keep: int) -> None:
        """Checkpoint the completed epoch, all of it or nothing, beside the `keep` − 1 before it."""
        content = io.BytesIO()
        state = {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
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
                self.scaler.load_state_dict(state.get("scaler", {}))
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
            self.learner, self.optimizer, self.scaler = fresh.learner, fresh.optimizer, fresh.scaler
            self.epoch, self.seconds = 0, 0.0

    def _read(self, content: bytes) -> dict[str, Any]:
        """A checkpoint's state. torch does not compare the checksums that it writes, so the archive is tested first."""
        damaged = zipfile.ZipFile(io.BytesIO(content)).testzip()
        if damaged:
            raise ValueError(f"{damaged} is damaged")
        return torch.load(io.BytesIO(content), map_location=self.device, weights_only=True)
