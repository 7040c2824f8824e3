"""Progress counts what ends, keeps the best, and is quiet where nobody watches."""

import io
import re
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from rich.console import Console

from study import Study, TrialConfig, grid
from study.execution.progress import Progress
from study.storage.trial_result import TrialResult
from tests.conftest import TINY


def progress(tmp_path: Path, *, terminal: bool) -> Progress:
    plan = Study("s", base=TrialConfig(**TINY), space={"k": grid(8, 16, 32)}).plan(storage=tmp_path)
    console = Console(file=io.StringIO(), force_terminal=terminal, width=120)
    return Progress(replace(plan, done=0), "linear.features.top1", "max", console=console)


def finished(value: float) -> TrialResult:
    return TrialResult(status="finished", metrics={"linear.features.top1": value}, started=0, ended=1)


def test_a_line_a_trial_without_a_terminal_and_the_best_is_kept(tmp_path: Path) -> None:
    shown = progress(tmp_path, terminal=False)
    with shown:
        for name, value in (("a", 40.0), ("b", 60.0)):
            shown.start(name, f"k={name}", 3)
            shown.epoch(name, 1, 2.0)
            shown.end(name, f"k={name}", finished(value))
        shown.start("c", "k=c", 3)
        shown.end("c", "k=c", TrialResult.failure("the loss is nan"))
    lines = shown.console.file.getvalue().splitlines()
    assert lines == ["1/3 k=a: linear.features.top1 40.00", "2/3 k=b: linear.features.top1 60.00",
                     "failed k=c: the loss is nan"]  # fmt: skip
    assert shown.best == (60.0, "k=b")
    assert (shown.finished, shown.failed) == (2, 1)


def test_the_table_shows_running_trials_and_what_is_left(tmp_path: Path) -> None:
    shown = progress(tmp_path, terminal=True)
    with shown:
        shown.start("a", "k=8 seed=0", 4)
        shown.epoch("a", 2, 1.5)
        console = Console(file=io.StringIO(), width=120)
        console.print(shown._table())
    text = console.file.getvalue()
    assert "k=8 seed=0" in text
    assert "epoch 2/4" in text
    assert "loss 1.500" in text


def test_a_notebook_shows_one_table_with_epochs_and_the_time_of_the_end_instead_of_lines(tmp_path: Path) -> None:
    pages: list[str] = []
    shown = progress(tmp_path, terminal=False)
    shown.show = pages.append
    with shown:
        shown._started -= 60  # a minute ago
        shown.start("a", "k=8 <seed 0>", 4)
        shown.epoch("a", 2, 1.5)
        shown._shown_at -= 1
        shown.epoch("a", 3, 1.25)
    texts = [re.sub("<[^>]+>", " ", page) for page in pages]
    assert len(pages) == 3, "the first state, half a second later at the earliest the next, and the last"
    assert "k=8 &lt;seed 0&gt;  epoch 3/4, loss 1.250" in texts[-1]
    end = datetime.now() + timedelta(seconds=60 / 0.75 * 2.25)  # three quarters of one of three trials are done
    assert re.search(r"ETA +0:03:0\d", texts[-1])
    assert any(f"{end + timedelta(seconds=s):%H:%M})" in texts[-1] for s in (-5, 0, 5))
    with shown:
        shown.end("a", "k=8", finished(40.0))
    assert "best linear.features.top1  40.00 (k=8)" in re.sub("<[^>]+>", " ", pages[-1])
    assert shown.console.file.getvalue() == ""
