"""A study's report: findings, figures, tables, bounds, negatives, settings, provenance, and how to reproduce it; as one
self-contained HTML page, as PDF, or as Markdown, with its figures and tables as files if asked."""

import re
import tempfile
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

import jinja2
from threadpoolctl import threadpool_limits

from study.figures.records import Records
from study.report.cells import tables_section
from study.report.export import save_figures, save_tables
from study.report.html import Html
from study.report.markdown import markdown
from study.report.parts import MakeSection, Part, Section, Words, every
from study.report.pdf import browser, print_pdf
from study.report.sections import bounds_section, figures_section, findings_section, negatives_section
from study.report.settings import (
    definition,
    failures_section,
    plan_of,
    provenance_section,
    reproduce_section,
    settings_section,
)
from study.results import Results
from study.storage.store import Store, is_local, write_atomically

SECTIONS: tuple[MakeSection, ...] = (
    findings_section,
    figures_section,
    tables_section,
    bounds_section,
    negatives_section,
    failures_section,
    settings_section,
    provenance_section,
    reproduce_section,
)
FORMATS = ("html", "pdf", "md")


def write_report(
    store: Store,
    folder: Path | None = None,
    sections: Sequence[MakeSection] = SECTIONS,
    *,
    formats: Collection[str] = ("html",),
    files: bool = False,
    others: bool = False,
) -> list[Path]:
    """Write the report in each format, with results.csv and results.parquet, into the folder; the report's paths.

    The default folder is the study's, or where that is in an object store, one of the study's name here.

    sections: each makes a part, in this order, or nothing by returning None. files: every figure as PDF and SVG under
    figures/, every table as LaTeX and CSV under tables/. others: with the trials of other definitions of the study.
    """
    if "pdf" in formats:
        browser()  # that there is none is known before anything is drawn
    folder = folder or (store.path if is_local(store.path) else Path(store.path.name))
    return write(Records(Results.load(store, others=others), store), folder, sections, formats=formats, files=files)


def write(
    records: Records,
    folder: Path,
    sections: Sequence[MakeSection] = SECTIONS,
    *,
    formats: Collection[str] = ("html",),
    files: bool = False,
) -> list[Path]:
    """The report of these records: see `write_report`."""
    with threadpool_limits(1, "blas"):  # its matrices are small: more threads wait for one another most of the time
        return _write(records, folder, sections, formats, files)


def _write(
    records: Records, folder: Path, sections: Sequence[MakeSection], formats: Collection[str], files: bool
) -> list[Path]:
    records.results.save(folder)
    made = [section for make in sections if (section := make(records)) is not None]
    trials, parts = set(records.results.frame["trial_id"]), list(every(made))
    written = []
    if {"html", "pdf"} & set(formats):
        page = html(records, made, trials)
    for suffix in (name for name in FORMATS if name in formats):
        written.append(folder / f"report.{suffix}")
        if suffix == "html":
            write_atomically(written[-1], page)
        elif suffix == "pdf":
            _print(page, written[-1])
        else:
            write_atomically(written[-1], markdown(records.results.study, lead(records), made, trials))
    if files or "md" in formats:
        save_figures(parts, folder, (".svg", ".pdf") if files else (".svg",))
    if files:
        save_tables(parts, folder)
    return written


def html(records: Records, sections: Sequence[Section], trials: Collection[str]) -> str:
    """The page."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent), autoescape=True, trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    environment.filters["anchor"] = lambda title: re.sub(r"\W+", "-", title.lower())
    made = Html(trials)
    return environment.get_template("template.html").render(
        title=records.results.study,
        question=definition(records.store).get("question", ""),
        facts=facts(records),
        sections=[(section.title, made.body(section.parts)) for section in sections],
        written=time.strftime("%Y-%m-%d %H:%M %Z"),
    )


def lead(records: Records) -> Iterator[Part]:
    """The question and the size of the study, before the first section."""
    if question := definition(records.store).get("question"):
        yield Words(question)
    yield Words(", ".join(f"{value} {name}" for name, value in facts(records).items()) + ".")


def facts(records: Records) -> dict[str, str]:
    """The size of the study: trials, failures, what was pruned, cells, seeds and compute, name → value."""
    results, plan = records.results, plan_of(records.store)
    planned = f" of {plan['trials']}" if plan.get("trials") else ""
    seeds = definition(records.store).get("seeds")
    pruned = int((results.frame["status"] == "pruned").sum())
    return {
        "trials finished": f"{len(results.finished)}{planned}",
        "failed": str(len(results.failed)),
        **({"pruned": str(pruned)} if pruned else {}),
        "cells": str(len(records.cells)),
        **({"seeds per cell": str(len(seeds))} if seeds else {}),
        "compute": _duration(results.frame["seconds"].sum()),
    }


def _duration(seconds: float) -> str:
    """`14 s`, `3 min` or `1.5 h`."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 3600:.1f} h" if seconds >= 3600 else f"{seconds / 60:.0f} min"


def _print(page: str, pdf: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "report.html"
        path.write_text(page, encoding="utf-8")
        print_pdf(path, pdf)
