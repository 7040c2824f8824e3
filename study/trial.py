"""One trial, whole: data → train → evaluate → result. Plain torch: no ray, no mlflow, so it runs in a notebook too."""

import dataclasses
import functools
import io
import math
import os
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from models.contrast import Moment
from models.encoders import seeded
from models.methods import Batch, Learner, Setting
from models.optim import learning_rate, set_learning_rate
from models.precision import autocast
from models.precision import resolve as resolve_precision
from study.data import Dataset
from study.environment import environment
from study.evaluate import evaluate, floor
from study.geometry_probe import GeometryProbe
from study.resolve import Trial
from study.store import TrialFolder, write_atomically

Report = Callable[[int, dict[str, float]], None]

OBSERVED_STEPS = 8
"""Steps of an epoch, evenly spaced, at which what is only logged is computed."""


class Diverged(RuntimeError):
    """The loss is not finite: going on would only spend compute."""


def run_trial(
    trial: Trial,
    folder: TrialFolder,
    *,
    cell: dict[str, Any] | None = None,
    cache: Path | None = None,
    device: str | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Run a trial to its end, from its last checkpoint if it has one, and return its result.

    A trial that cannot finish (a loss that is not finite, an error) is recorded as failed with its reason; only a
    kill or an interrupt leaves it open, to be resumed to the same numbers.
    """
    done = folder.result()
    if done is not None:
        return done
    folder.write_config({"config": trial.config, "cell": cell or {}, "seed": trial.config["seed"]})
    started = time.time()
    result: dict[str, Any] = {"status": "finished", "reason": None, "metrics": {}}
    try:
        result |= _run(trial, folder, cache, device, report)
    except Diverged as error:
        result |= {"status": "failed", "reason": str(error)}
    except Exception as error:
        result |= {"status": "failed", "reason": f"{type(error).__name__}: {error}", "trace": traceback.format_exc()}
    result |= {"started": started, "ended": time.time(), "environment": {**environment(), **result.pop("at", {})}}
    folder.write_result(result)
    return result


def _run(
    trial: Trial, folder: TrialFolder, cache: Path | None, device: str | None, report: Report | None
) -> dict[str, Any]:
    data = trial.data.load(cache)
    training = Training(trial, data, torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu")))
    before = floor(trial, data, training, cache)
    training.restore(folder)
    probe = GeometryProbe(trial, data, training)
    while training.epoch < training.epochs:
        metrics = training.train_epoch() | probe.metrics(training.learner)
        folder.append({"epoch": training.epoch, "time": time.time(), "metrics": metrics})
        training.save(folder)
        if report is not None:
            report(training.epoch, metrics)
    at = time.perf_counter()
    final, tables = evaluate(trial, data, training)
    for name, table in tables.items():
        write_atomically(folder.artifacts / f"{name}.json", table)
    last = folder.journal()[-1]["metrics"]
    costs = {
        "time.train_s": training.seconds,
        "time.evaluate_s": time.perf_counter() - at,
        "memory.peak_mib": peak_memory_mib(training.device),
    }
    return {
        "metrics": {**last, **before, **final, **costs},
        "seconds": training.seconds + costs["time.evaluate_s"],
        "data": {
            "name": data.name, "digest": data.digest, "train": len(data.train), "test": len(data.test),
            "classes": list(data.classes),
        },
        "at": {
            "device": str(training.device), "precision": training.precision, "threads": torch.get_num_threads(),
        },
    }  # fmt: skip


def peak_memory_mib(device: torch.device) -> float:
    """Peak memory: the device's allocator on a GPU, the process's resident set otherwise."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return psutil.Process().memory_info().rss / 2**20


def generator(device: torch.device | str, *words: int) -> torch.Generator:
    """A generator whose seed is a hash of the words: independent streams for (seed, stream, epoch)."""
    state = np.random.SeedSequence(words).generate_state(2, np.uint32)
    return torch.Generator(device).manual_seed((int(state[0]) << 31) ^ int(state[1]))


def supply(component: Any, **facts: Any) -> Any:
    """The component with what the data decides (vocabulary_size) filled in, where it takes that and is not given it."""
    if dataclasses.is_dataclass(component) and not isinstance(component, type):
        known = {f.name for f in dataclasses.fields(component)}
        return dataclasses.replace(component, **{n: v for n, v in facts.items() if n in known})
    assert isinstance(component, functools.partial)
    code = component.func.__code__
    known = set(code.co_varnames[: code.co_argcount + code.co_kwonlyargcount])
    return functools.partial(component, **{n: v for n, v in facts.items() if n in known})


@dataclass(frozen=True)
class Streams:
    """Which random numbers are which: first word after the seed."""

    encoder: int = 0
    head: int = 1
    method: int = 2
    order: int = 3
    views: int = 4
    step: int = 5
    evaluation: int = 6


STREAMS = Streams()


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
        self.learner = self._learner(facts).to(device)
        self.optimizer = trial.optimizer(self.learner)
        self.epoch, self.seconds = 0, 0.0

    def _learner(self, facts: dict[str, Any]) -> Learner:
        encoder = seeded(supply(self.trial.encoder, **facts), seed=self._word(STREAMS.encoder))
        head = seeded(lambda: self.trial.head(encoder.feature_dim), seed=self._word(STREAMS.head))
        setting = Setting(
            batch_size=self.batch_size,
            train_count=len(self.data.train),
            classes=len(self.data.classes),
            steps=self.steps * self.epochs,
            generator=generator("cpu", self.seed, STREAMS.method),
        )
        return seeded(
            lambda: self.trial.method.learner(encoder, head, self.trial.contrast, setting),
            seed=self._word(STREAMS.method),
        )

    def _word(self, stream: int) -> int:
        return generator("cpu", self.seed, stream).initial_seed()

    def views(self, inputs: np.ndarray, draw: torch.Generator) -> Tensor:
        """An augmented view of each of these inputs, on the device."""
        return self.augmentation(torch.from_numpy(np.ascontiguousarray(inputs)).to(self.device), generator=draw)

    def batches(self) -> Iterator[np.ndarray]:
        """The epoch's batches as indices into the training split: each example at most once."""
        order = torch.randperm(len(self.data.train), generator=generator("cpu", self.seed, STREAMS.order, self.epoch))
        for step in range(self.steps):
            yield order[step * self.batch_size : (step + 1) * self.batch_size].numpy()

    def train_epoch(self) -> dict[str, float]:
        """One pass over the training split; the epoch's mean metrics. Raises Diverged."""
        started = time.perf_counter()
        draw_views = generator(self.device, self.seed, STREAMS.views, self.epoch)
        draw_step = generator(self.device, self.seed, STREAMS.step, self.epoch)
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
        metrics = {
            "loss": float(np.mean(losses)),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "temperature": self.trial.temperature.at(self.epoch / self.epochs),
            "views_per_s": 2 * self.batch_size * self.steps / seconds,
        }
        names = observed[0] if observed else {}
        metrics |= {name: float(np.mean([float(seen[name]) for seen in observed])) for name in names}
        return {f"train.{name}": value for name, value in metrics.items()}

    def _step(
        self, step: int, index: np.ndarray, draw_views: torch.Generator, draw_step: torch.Generator, *, observe: bool
    ) -> tuple[float, dict[str, Tensor]]:
        config, total = self.trial.config, self.steps * self.epochs
        at = self.epoch * self.steps + step
        inputs, labels = self.data.train.inputs[index], self.data.train.labels
        batch = Batch(
            (self.views(inputs, draw_views), self.views(inputs, draw_views)),
            torch.from_numpy(index).to(self.device),
            None if labels is None else torch.from_numpy(labels[index]).to(self.device),
        )
        moment = Moment(draw_step, self.trial.temperature.at(at / total), self.epoch, self.epochs, observe)
        set_learning_rate(
            self.optimizer,
            learning_rate(
                at,
                base=config["optimizer"]["learning_rate"],
                warmup_steps=round(config["warmup"] * total),
                total_steps=total,
            ),
        )
        with autocast(self.precision, self.device):
            made = self.learner.step(batch, moment)
        loss = float(made.loss)
        if not math.isfinite(loss):
            raise Diverged(
                f"the loss is {loss} at epoch {self.epoch + 1}, step {step + 1} of {self.steps}; "
                "lower optimizer.learning_rate, raise temperature, or lengthen warmup"
            )
        self.optimizer.zero_grad(set_to_none=True)
        made.loss.backward()
        self.optimizer.step()
        self.learner.after_step((at + 1) / total)
        return loss, made.observed

    def save(self, folder: TrialFolder) -> None:
        """Checkpoint the completed epoch: all of it or nothing."""
        content = io.BytesIO()
        state = {
            "epoch": self.epoch,
            "seconds": self.seconds,
            "learner": self.learner.state_dict(),
            "optimizer": self.optimizer.state_dict(),
        }
        torch.save(state, content)
        write_atomically(folder.checkpoint, content.getvalue())

    def restore(self, folder: TrialFolder) -> None:
        """Go on from the folder's checkpoint; one that cannot be read is set aside, and the trial starts anew."""
        if not folder.checkpoint.exists():
            return
        try:
            state = torch.load(folder.checkpoint, map_location=self.device, weights_only=True)
            self.learner.load_state_dict(state["learner"])
            self.optimizer.load_state_dict(state["optimizer"])
            self.epoch, self.seconds = state["epoch"], state["seconds"]
        except (RuntimeError, OSError, EOFError, KeyError, pickle.UnpicklingError):
            os.replace(folder.checkpoint, folder.path / "checkpoint.unreadable")
            fresh = Training(self.trial, self.data, self.device)
            self.learner, self.optimizer, self.epoch, self.seconds = fresh.learner, fresh.optimizer, 0, 0.0
