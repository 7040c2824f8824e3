"""A study's results on its run in MLflow: metrics and tags to look at, findings and trials as tables."""

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from study.claims import Findings
from study.results import Results, cell_label
from study.tracking import client as mlflow_client
from study.tracking import schema
from study.tracking.layout import Layout
from study.tracking.uri import without_secrets

if TYPE_CHECKING:
    from mlflow import MlflowClient

NOTE = "mlflow.note.content"
"""The tag that MLflow shows as a run's description, in Markdown."""
FINDINGS = "findings.json"


def send(client: "MlflowClient", parent: str, results: Results, found: Findings, layout: Layout) -> None:
    """Send the summary to the study's run."""
    values, tags = _numbers(results)
    question = client.get_run(parent).data.tags.get(NOTE, "").partition("\n")[0]
    tags |= {f"finding.{one.name}": one.outcome for one in found}
    tags |= {NOTE: f"{question}\n\n{_markdown(found)}".strip(), **dict([schema.tables([FINDINGS])])}
    metrics = mlflow_client.metrics({layout.name(name): value for name, value in values.items()}, time.time(), step=0)
    client.log_batch(parent, list(metrics), tags=mlflow_client.tags({n: schema.cut(t) for n, t in tags.items()}))
    client.log_text(parent, without_secrets(found.frame().to_json(orient="split", index=False)), FINDINGS)
    with tempfile.TemporaryDirectory() as folder:
        results.save(folder)
        client.log_artifact(parent, str(Path(folder) / "results.csv"))


def _markdown(found: Findings) -> str:
    """A line for each finding."""
    return "\n".join(f"- **{one.verdict}**: {one.statement} {one.interval}".rstrip() for one in found)


def _numbers(results: Results) -> tuple[dict[str, float], dict[str, str]]:
    """Metrics of the parent run, and what the best cells are as tags."""
    cells = results.cells()
    counts = results.frame["status"].value_counts()
    values = {f"trials.{status}": float(counts.get(status, 0)) for status in ("finished", "failed")}
    values |= {"trials.pruned": float(counts["pruned"])} if "pruned" in counts else {}
    tags = {}
    for metric, direction in results.metrics.items():
        of_cells = cells[cells["metric"] == metric].dropna(subset=["mean"]).sort_values("mean")
        if of_cells.empty:
            continue
        best = of_cells.iloc[-1 if direction == "max" else 0]
        values |= {f"best.{metric}": best["mean"], f"mean.{metric}": of_cells["mean"].mean()}
        cell = without_secrets(cell_label({p: best[p] for p in results.varying}))
        tags[f"best.{metric}"] = f"{cell} (n = {best['n']})"
    return values, tags
