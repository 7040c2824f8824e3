"""A running training: networks, optimizer and epoch, deterministic under its seed, checkpointed at epoch ends."""

import math
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from traceback import walk_tb
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from models.contrast import StepContext
from models.methods import Batch
from models.methods.method import unit_rows
from models.multi_crop import work_in_views
from models.optim import set_learning_rate
from models.precision import autocast, choose_precision
from models.ranks import WHOLE, average_gradients, own_share
from study.data import Dataset
from study.evaluation.geometry import alignment, uniformity
from study.machine.memory import PeakMemory
from study.semantics import selection_statistics
from study.trial.learner import learner_of, supply
from study.trial.streams import Stream, generator, layers_draw
from study.trial.trial import Trial
from study.trial.views import Examples, Wanted, encode_batch, made_of, sent, wanted

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


def check_finite(finite: Tensor, what: str, epoch: int) -> None:
    """Raise Diverged where features or embeddings after an epoch, in evaluation mode, are not all finite."""
    if not finite:
        when = f"after epoch {epoch}" if epoch else "before the first epoch"
        raise Diverged(
            f"{what} are not finite (NaN or infinite) {when}, in evaluation mode; lower optimizer.learning_rate, or "
            "mend the encoder where it overflows, divides by zero, or takes roots or logarithms of what may be negative"
        )


@contextmanager
def last_made_by(encoder: nn.Module) -> Iterator[list[Tensor]]:
    """Keep the last output of an encoder within, in a list of one."""
    last: list[Tensor] = []

    def keep(_: nn.Module, __: Any, made: Tensor) -> None:
        last[:] = [made.detach()]

    hook = encoder.register_forward_hook(keep)
    try:
        yield last
    finally:
        hook.remove()


class Training:
    """The state of a training: networks, optimizer and epoch; everything that a checkpoint holds."""

    def __init__(self, trial: Trial, data: Dataset, device: torch.device, *, ranks: int = 1) -> None:
        """ranks: processes that share each step, of which this is one; their group is torch.distributed's default."""
        config = trial.config
        self.trial, self.data, self.device, self.ranks = trial, data, device, ranks
        self.peak = PeakMemory(device)
        self.part = "putting the networks together"  # what it is at, for an error to tell
        self.train, self.test = Examples(data.train, device), Examples(data.test, device)
        self.validation = None if data.validation is None else Examples(data.validation, device)
        self.seed, self.epochs, self.batch_size = config["seed"], config["epochs"], config["batch_size"]
        self.precision = choose_precision(config["precision"], device)
        self.augmentation = supply(trial.parts.augmentation, data)
        self.share = own_share() if ranks > 1 and trial.parts.method.rows_apart else WHOLE
        self.wanted = wanted(self.augmentation, trial.parts.method.views)
        # of an example, small ones by their pixels
        self.views = work_in_views(trial.parts.method.views, self.augmentation, data.shape.size)
        self.steps = len(data.train) // self.batch_size
        self.semantics = trial.parts.meaning.semantics(data.classes)
        steps = self.steps * self.epochs
        self.learner = learner_of(trial, data, self.semantics, steps=steps, device=device, ranks=ranks)
        self.optimizer = trial.parts.optimizer.optimizer(self.learner)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision == "float16")
        self.epoch, self.seconds = 0, 0.0
        self.features: list[Tensor] = []  # of the newest step, for an error to tell

    @property
    def peak_mib(self) -> float:
        """The most memory in use since this was made, evaluation included."""
        return self.peak.mib()

    def order(self) -> Tensor:
        """The epoch's batches, [steps, B] indices into the training split: each example at most once."""
        order = torch.randperm(len(self.data.train), generator=generator("cpu", self.seed, Stream.ORDER, self.epoch))
        return order[: self.steps * self.batch_size].view(self.steps, self.batch_size)

    def train_epoch(self) -> dict[str, float]:
        """One pass over the training split; the epoch's mean metrics. Raises Diverged."""
        started = time.perf_counter()
        with layers_draw(self.device, self.seed, self.epoch), last_made_by(self.learner.encoder) as self.features:
            losses, observed = self._pass()
        self.epoch += 1
        seconds = time.perf_counter() - started
        self.seconds += seconds
        metrics = {
            "loss": float(np.mean(losses)),
            "learning_rate": self.optimizer.param_groups[0]["lr"],
            "temperature": self.trial.parts.temperature.at(self.epoch / self.epochs),
            "views_per_s": self.views * self.batch_size * self.steps / seconds,
        }
        masses = [(seen.pop("mass.selected"), seen.pop("mass.offered")) for seen in observed if "mass.selected" in seen]
        names = observed[0] if observed else {}
        for name in names:
            steps = torch.stack([seen[name].double() for seen in observed]).cpu().numpy()
            if len(defined := steps[~np.isnan(steps)]):  # no negatives at all, no mean of them
                metrics[name] = float(np.mean(defined))
        return {f"train.{name}": value for name, value in metrics.items()} | self._selection(masses)

    def _pass(self) -> tuple[list[float], list[dict[str, Tensor]]]:
        """The epoch's steps: their losses, and what was observed of some."""
        draw_views = generator("cpu", self.seed, Stream.VIEWS, self.epoch)
        draw_step = generator(self.device, self.seed, Stream.STEP, self.epoch)
        stride = max(self.steps // OBSERVED_STEPS, 1)
        look_every = 1 if self.device.type == "cpu" else LOOK_EVERY
        here = self.order()
        there = sent(here, self.device)
        self.train.expect(made_of(self.wanted, self.share).of(here, dim=1))
        losses: list[float] = []
        unseen: list[Tensor] = []
        observed: list[dict[str, Tensor]] = []
        self.learner.train()
        for step in range(self.steps):
            try:
                loss, seen = self.step(step, here[step], there[step], draw_views, draw_step, observe=step % stride == 0)
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
                newest = self.features if step + 1 == before + len(losses) else []
                spoilt = any(not made.isfinite().all() for made in newest)
                raise Diverged(
                    f"the loss is {loss}{' as features are not finite' if spoilt else ''} at epoch {self.epoch + 1}, "
                    f"step {step + 1} of {self.steps}; lower optimizer.learning_rate, raise temperature, "
                    f"{'mend the encoder, ' if spoilt else ''}or lengthen optimizer.warmup_epochs"
                )
        return losses

    def _selection(self, masses: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """The meaning of the epoch's selections, from the observed steps' [C, C] masses; nothing without labels."""
        if not masses:
            return {}
        selected, offered = (torch.stack(part).sum(dim=0).cpu().numpy() for part in zip(*masses, strict=True))
        return selection_statistics(selected, offered, self.semantics.similarities)

    @torch.no_grad()
    def geometry(self) -> dict[str, float]:
        """Alignment and uniformity of two views of the same few training examples after every epoch."""
        count = min(PROBED, len(self.data.train))
        index = torch.from_numpy(np.linspace(0, len(self.data.train) - 1, count).astype(np.int64))
        self.learner.eval()
        draw = generator("cpu", self.seed, Stream.PROBE)
        two, key = Wanted(self.augmentation, 2), (self.seed, Stream.PROBE)
        of_head, encoded = self.trial.parts.method.trains_head, []
        for some in index.split(encode_batch(self.data.shape.size)):
            (views,) = self.train.views(some, some.to(self.device), two, generator=draw, key=key)
            with autocast(self.precision, self.device):
                encoded.append(
                    [self.learner.project(v) if of_head else unit_rows(self.learner.encoder(v)) for v in views]
                )
        x, y = (torch.cat(rows) for rows in zip(*encoded, strict=True))
        check_finite(x.isfinite().all(), "embeddings" if of_head else "features", self.epoch)
        prefix = "train" if of_head else "train.features"
        return {f"{prefix}.alignment": float(alignment(x, y)), f"{prefix}.uniformity": float(uniformity(x))}

    def step(
        self, step: int, here: Tensor, there: Tensor, draw_views: torch.Generator, draw_step: torch.Generator,
        *, observe: bool,
    ) -> tuple[Tensor, dict[str, Tensor]]:  # fmt: skip
        """One step on the examples at an index, on the CPU and on the device: its loss, and what was observed of it.

        Nothing in it waits for a GPU.
        """
        total = self.steps * self.epochs
        at = self.epoch * self.steps + step
        self.part = "making views"
        key = (self.seed, Stream.VIEWS, self.epoch)
        views = self.train.views(here, there, *self.wanted, generator=draw_views, key=key, share=self.share)
        batch = Batch(views[0], there, None if self.train.labels is None else self.train.labels[there], *views[1:])
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
        if self.ranks > 1:
            average_gradients(self.learner.parameters())
        self.part = "the optimizer's step"
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.learner.after_step((at + 1) / total)
        return made.loss.detach(), made.observed
