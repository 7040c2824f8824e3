"""Progress of a running study: one live table on a terminal or in a notebook, a few lines elsewhere."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.table import Table

from study.planning import notebook
from study.planning.plan import Plan
from study.storage.trial_result import TrialResult

REFRESH = 0.5
"""Seconds between two states that a notebook shows."""


@dataclass
class Running:
    """A running trial."""

    label: str
    epochs: int
    epoch: int = 0
    loss: float | None = None

    @property
    def words(self) -> tuple[str, str]:
        """Its epoch and its loss."""
        return f"epoch {self.epoch}/{self.epochs}", "" if self.loss is None else f"loss {self.loss:.3f}"


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
    show: Callable[[str], None] | None = None
    """puts HTML in place of what it put before: by default below the cell of a notebook, where there is one"""

    def __enter__(self) -> "Progress":
        self._started = time.monotonic()
        self._live = None
        if self.console.is_terminal:
            self._live = Live(get_renderable=self._table, console=self.console, refresh_per_second=2, transient=True)
            self._live.start()
        elif self.console.is_jupyter and self.show is None:
            self.show = notebook.place()
        self._shown_at = -REFRESH
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
        self._refresh(last=True)

    @property
    def _watched(self) -> bool:
        """Whether a table shows what lines say elsewhere."""
        return self._live is not None or self.show is not None

    def _refresh(self, *, last: bool = False) -> None:
        now = time.monotonic() - self._started
        if self.show is not None and (last or now - self._shown_at >= REFRESH):
            self._shown_at = now
            self.show(self._html())

    def start(self, trial_id: str, label: str, epochs: int) -> None:
        """A trial starts."""
        self.running[trial_id] = Running(label, epochs)
        self._refresh()

    def epoch(self, trial_id: str, epoch: int, loss: float) -> None:
        """A trial has completed an epoch."""
        trial = self.running.get(trial_id)
        if trial is not None:
            trial.epoch, trial.loss = epoch, loss
        self._refresh()

    def again(self, trial_id: str, label: str, why: str) -> None:
        """A trial is not over: it is started again, in another way."""
        self.running.pop(trial_id, None)
        self.console.print(f"[yellow]again[/yellow] {label}: {why}", highlight=False, soft_wrap=True)

    def end(self, trial_id: str, label: str, result: TrialResult) -> None:
        """A trial is over, here or, where it never started, elsewhere."""
        self.running.pop(trial_id, None)
        if result.status == "pruned":  # and with it its cell's other seeds
            self.plan = replace(self.plan, pruned=self.plan.pruned + self.plan.seeds)
            self.console.print(f"[yellow]pruned[/yellow] {label}: {result.reason}", highlight=False, soft_wrap=True)
            return
        if not result.finished:
            self.failed += 1
            self.console.print(f"[red]failed[/red] {label}: {result.reason}", highlight=False, soft_wrap=True)
            return
        self.finished += 1
        value = result.metrics.get(self.metric)
        sign = 1 if self.direction == "max" else -1
        if value is not None and (self.best is None or sign * value > sign * self.best[0]):
            self.best = (value, label)
        self._refresh()
        if not self._watched:
            done = self.plan.over + self.finished + self.failed
            shown = "" if value is None else f": {self.metric} {value:.2f}"
            self.console.print(f"{done}/{self.plan.trials} {label}{shown}", highlight=False, soft_wrap=True)

    def added(self, why: str, trials: int) -> None:
        """Trials are added to the plan, for a claim that is not decided."""
        self.plan, self.why = replace(self.plan, trials=self.plan.trials + trials), why
        if not self._watched:
            self.console.print(f"adding {why}", highlight=False, soft_wrap=True)

    def waiting(self, others: str) -> None:
        """Say that others run what is left; only when that changes."""
        if others and others != self.others and not self._watched:
            self.console.print(f"{others}; waiting for their results", highlight=False, soft_wrap=True)
        self.others = others

    def _numbers(self) -> dict[str, str]:
        over = self.finished + self.failed
        left = self.plan.trials - self.plan.over - over
        elapsed = time.monotonic() - self._started
        share = over + sum(trial.epoch / trial.epochs for trial in self.running.values())
        best = "" if self.best is None else f"{self.best[0]:.2f} ({self.best[1]})"
        return {
            "done": str(self.plan.done + self.finished),
            "running": str(len(self.running)),
            "left": str(left - len(self.running)),
            "failed": str(self.plan.failed + self.failed),
            f"best {self.metric}": best,
            "elapsed": _clock(elapsed),
            "ETA": "…" if share < 0.1 else _until(elapsed / share * (left + over - share)),
        }

    def _title(self) -> str:
        return f"{self.plan.study}: {self.plan.trials} trials"

    def _notes(self) -> list[str]:
        waits = f"{self.others}; waiting for their results" if self.others else ""
        return list(filter(None, [f"added: {self.why}" if self.why else "", waits]))

    def _html(self) -> str:
        return notebook.table(
            self._title(),
            self._numbers() | {trial.label: ", ".join(filter(None, trial.words)) for trial in self.running.values()},
            self._notes(),
        )

    def _table(self) -> Table:
        numbers = self._numbers()
        table = Table(title=self._title(), title_justify="left", caption="\n".join(self._notes()) or None)
        for name in numbers:
            table.add_column(name, justify="right")
        table.add_row(*numbers.values())
        for trial in self.running.values():
            table.add_row("", "", "", "", trial.label, *trial.words, style="dim")
        return table


def _until(seconds: float) -> str:
    """`0:12:00 (14:05)`: how long, and when that is; with the day where it is another."""
    now = datetime.now()
    end = now + timedelta(seconds=seconds)
    return (
        f"{_clock(seconds)} ({end:%H:%M})" if end.date() == now.date() else f"{_clock(seconds)} ({end:%a %d %b %H:%M})"
    )


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}"
