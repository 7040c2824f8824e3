"""Progress of a running study: one live table on a terminal, a few lines elsewhere."""

import time
from dataclasses import dataclass, field, replace
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from study.planning.plan import Plan
from study.storage.trial_result import TrialResult


@dataclass
class Running:
    """A running trial."""

    label: str
    epochs: int
    epoch: int = 0
    loss: float | None = None


@dataclass
class Progress:
    """Counts and shows; `with Progress(plan, metric, direction) as progress: …`."""

    plan: Plan
    metric: str
    direction: str
    console: Console = field(default_factory=lambda: Console(stderr=True))
    finished: int = 0
    failed: int = 0
    best: tuple[float, str] | None = None
    running: dict[str, Running] = field(default_factory=dict)
    others: str = ""
    """what other sessions run"""
    why: str = ""
    """what was added last until claims are decided, and for which"""

    def __enter__(self) -> "Progress":
        self._started = time.monotonic()
        self._live = None
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=2, transient=True)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def start(self, trial_id: str, label: str, epochs: int) -> None:
        """A trial starts."""
        self.running[trial_id] = Running(label, epochs)

    def epoch(self, trial_id: str, epoch: int, loss: float) -> None:
        """A trial has completed an epoch."""
        trial = self.running.get(trial_id)
        if trial is not None:
            trial.epoch, trial.loss = epoch, loss

    def again(self, trial_id: str, label: str, why: str) -> None:
        """A trial is not over: it is started again, in another way."""
        self.running.pop(trial_id, None)
        self.console.print(f"[yellow]again[/yellow] {label}: {why}", highlight=False, soft_wrap=True)

    def end(self, trial_id: str, label: str, result: TrialResult) -> None:
        """A trial is over, here or, where it never started, elsewhere."""
        self.running.pop(trial_id, None)
        if not result.finished:
            self.failed += 1
            self.console.print(f"[red]failed[/red] {label}: {result.reason}", highlight=False, soft_wrap=True)
            return
        self.finished += 1
        value = result.metrics.get(self.metric)
        sign = 1 if self.direction == "max" else -1
        if value is not None and (self.best is None or sign * value > sign * self.best[0]):
            self.best = (value, label)
        if self._live is None:
            done = self.plan.done + self.plan.failed + self.finished + self.failed
            shown = "" if value is None else f": {self.metric} {value:.2f}"
            self.console.print(f"{done}/{self.plan.trials} {label}{shown}", highlight=False, soft_wrap=True)

    def added(self, why: str, trials: int) -> None:
        """Trials are added to the plan, for a claim that is not decided."""
        self.plan, self.why = replace(self.plan, trials=self.plan.trials + trials), why
        if self._live is None:
            self.console.print(f"adding {why}", highlight=False, soft_wrap=True)

    def waiting(self, others: str) -> None:
        """Say that others run what is left; only when that changes."""
        if others and others != self.others and self._live is None:
            self.console.print(f"{others}; waiting for their results", highlight=False, soft_wrap=True)
        self.others = others

    def _table(self) -> Table:
        over = self.finished + self.failed
        left = self.plan.trials - self.plan.done - self.plan.failed - over
        elapsed = time.monotonic() - self._started
        share = over + sum(trial.epoch / trial.epochs for trial in self.running.values())
        eta = "…" if share < 0.1 else _clock(elapsed / share * (left + over - share))
        waits = f"{self.others}; waiting for their results" if self.others else ""
        caption = "\n".join(filter(None, [f"added: {self.why}" if self.why else "", waits])) or None
        table = Table(title=f"{self.plan.study}: {self.plan.trials} trials", title_justify="left", caption=caption)
        for name in ("done", "running", "left", "failed", f"best {self.metric}", "elapsed", "ETA"):
            table.add_column(name, justify="right")
        best = "" if self.best is None else f"{self.best[0]:.2f} ({self.best[1]})"
        table.add_row(
            str(self.plan.done + self.finished), str(len(self.running)), str(left - len(self.running)),
            str(self.plan.failed + self.failed), best, _clock(elapsed), eta,
        )  # fmt: skip
        for trial in self.running.values():
            loss = "" if trial.loss is None else f"loss {trial.loss:.3f}"
            table.add_row("", "", "", "", f"{trial.label}", f"epoch {trial.epoch}/{trial.epochs}", loss, style="dim")
        return table


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
