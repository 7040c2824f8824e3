import json
import math
import random
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from markupsafe import Markup

from study.figures import Records
from study.report.html import Html, svg
from study.report.page import SECTIONS, facts, write_report
from study.report.parts import Section, Table
from study.results import Results
from study.storage.store import Store
from study.storage.trial_result import TrialResult

STUDY = """
name: k-study
question: Does accuracy grow with <K>?
space: {k: {grid: [16, 64]}, negatives: {grid: [all, without_same_class]}, temperature: {uniform: {low: 0.1, high: 1}}}
seeds: [0, 1]
sampler: grid
metrics: {linear.features.top1: max}
base: {data: {name: image_folder, root: "s3://key:hunter2@bucket"}}
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    store = Store.of("k-study", tmp_path_factory.mktemp("storage"))
    for k in (16, 64):
        for strategy in ("all", "without_same_class"):
            for seed in (0, 1):
                add(store, k, strategy, seed)
    add(store, 64, "all", 2, reason="the loss is <nan> in epoch 2: lower optimizer.lr")
    (store.path / "study.yaml").write_text(STUDY)
    (store.path / "plan.json").write_text(json.dumps({"cells": 4, "seeds": 2, "trials": 8}))
    return store


def add(store, k, strategy, seed, reason=None, top1=None):
    trial = store.trial(f"{k}{strategy[0]}{seed}")
    config = {"k": k, "negatives": {"name": strategy}, "method": {"name": "simclr"}, "seed": seed}
    described = {"config": config, "cell": {"k": k, "negatives": strategy}, "seed": seed}
    trial.write_config(described | {"uses_labels": strategy == "without_same_class"})
    for epoch in (1, 2):
        trial.append({"epoch": epoch, "time": 1.0, "metrics": {"train.loss": math.log(k) / epoch}})
    top1 = top1 or 40 + math.log2(k) + 5 * (strategy != "all") + seed + 0.4 * seed * (k == 64)
    metrics = {
        "linear.features.top1": top1,
        "linear.floor.top1": 41.0,
        "contrastive.loss": 2.0,
        "train.temperature": 0.5,
    }
    result = TrialResult(
        status="failed" if reason else "finished",
        reason=reason,
        metrics={} if reason else metrics,
        started=0.0,
        ended=36.0,
        seconds=36.0,
        environment={"torch": "2.15.0", "git_commit": "abcdef", "cores": 2 if seed else 4},
        data={"name": "shapes", "digest": "d1g35t", "train": 100, "test": 50, "classes": ["cat", "dog"]},
    )
    trial.write_result(result)


class Page(HTMLParser):
    """Its text, headings, and every address that it would fetch."""

    def __init__(self, page):
        super().__init__()
        self.text, self.fetched, self.headings, self.stack = "", [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.stack.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href", "srcset", "data") and not value.startswith("#"):
                self.fetched.append(value)

    def handle_endtag(self, tag):
        while self.stack and self.stack.pop() != tag:
            pass

    def handle_data(self, data):
        self.text += data
        if self.stack and self.stack[-1] == "h2":
            self.headings.append(data)


@pytest.fixture(scope="module")
def html(store):
    return write_report(store)[0].read_text()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_page_needs_nothing_from_outside(html, page):
    assert page.fetched == []
    assert not re.search(r"@import|url\((?!#)", html)


def test_tables_lie_beside_the_page(store, tmp_path):
    folder = tmp_path / "elsewhere"
    assert write_report(store, folder) == [folder / "report.html"]
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "results.csv", "results.parquet"]


def test_parts_are_in_order(page):
    parts = ["Findings", "Figures", "Tables", "Bounds", "Failures", "Settings", "Provenance", "How to reproduce"]
    assert page.headings == parts
    assert "Does accuracy grow with <K>?" in page.text  # escaped, so the parser gives it back


def test_findings_have_verdict_effect_and_links_to_the_trials_behind_them(html, page):
    section = html[html.index('<h2 id="findings">') : html.index('<h2 id="figures">')]
    claim = "Contrastive learning gains accuracy over its untrained encoder."
    assert f'<td data-name="claim" class="wrap">{claim}</td>' in section  # the heading, for narrow screens
    assert '<td data-name="verdict">supported</td>' in section
    assert 'aria-label="' in section
    linked = set(re.findall(r'href="#trial-(\w+)"', section))
    assert linked
    assert linked <= set(re.findall(r'<tr id="trial-(\w+)">', html))
    assert "needs cells with negatives hardest_5pct, and with negatives hardest_5pct_control" in section


def test_the_best_cell_is_told_with_what_it_leads_by_and_whether_it_uses_labels(page):
    assert (
        "linear.features.top1: k=64, negatives=without_same_class: 51.7, the highest mean of 4 cells, told apart from "
        "all others; it leads the next, k=16, negatives=without_same_class, by 2.2 (1.4 to 3.0)." in page.text
    )
    assert "It uses class labels in training; the highest without: k=64, negatives=all, 46.7 (n = 2)." in page.text


@pytest.mark.parametrize(("seconds", "told"), [(14.4, "14 s"), (119, "119 s"), (150, "2 min"), (5400, "1.5 h")])
def test_compute_is_told_in_a_unit_that_does_not_round_it_away(tmp_path, seconds, told):
    one = Store.of("short", tmp_path)
    trial = one.trial("t0")
    trial.write_config({"config": {"k": 16}, "cell": {}, "seed": 0})
    trial.write_result(TrialResult(status="finished", metrics={}, started=0.0, ended=seconds))
    assert facts(Records(Results.load(one), one))["compute"] == told


def rows_of(html, name):
    """The rows of the table of this caption, as text, a cell after another."""
    table = html[html.index(name) :]
    rows = re.findall(r"<tr.*?</tr>", table[: table.index("</table>")], re.DOTALL)
    return [" ".join(re.sub(r"<[^>]*>", " ", row).replace("\u200b", "").split()) for row in rows]


def test_cells_are_grouped_by_what_can_be_told_apart_and_not_ranked(html):
    head, *rows = rows_of(html, "Cells. Mean")
    assert head.startswith("k negatives uses labels against the best n")
    assert rows[0].startswith("64 without_same_class yes may be the best 2 51.7 ± 0.4 / 41.0 2.000 36.0")
    assert [row.split()[:2] for row in rows[1:]] == [["16", "all"], ["16", "without_same_class"], ["64", "all"]]
    assert all(" lower 2 " in row for row in rows[1:])
    assert "First the 1 of 4 cells that may be the best" in html


def test_cells_that_cannot_be_told_apart_are_in_order_of_value_and_none_is_called_the_best(tmp_path):
    store = Store.of("noise", tmp_path)
    draw = random.Random(0)
    for k in (64, 16, 4):
        for seed in (0, 1, 2):
            add(store, k, "all", seed, top1=50 + draw.gauss(0, 3))
    html = write_report(store)[0].read_text()
    head, *rows = rows_of(html, "Cells. Mean")
    assert [row.split()[0] for row in rows] == ["4", "16", "64"]
    assert "against the best" not in head
    assert "no cell can be told apart from the best" in html
    assert "linear.features.top1: no cell can be told apart (" in html


def test_failures_are_listed_with_their_reasons(page):
    assert "the loss is <nan> in epoch 2: lower optimizer.lr" in page.text


def test_provenance_tells_versions_data_and_where_trials_differ(page):
    for fact in ("2.15.0", "abcdef", "d1g35t", "4 (4 trials), 2 (5 trials)", "uniform, 0.1 to 1", "9 trials"):
        assert fact in page.text


def test_page_shows_no_password(html):
    assert "hunter2" not in html


def test_sections_are_added_and_left_out(store):
    def mine(records):
        return Section("Mine", (Table("mine", "Of my own", pd.DataFrame({"bound": ["<a>"], "loss": [2.0]})),))

    html = write_report(store, sections=[*SECTIONS[-1:], mine, lambda records: None])[0].read_text()
    assert Page(html).headings == ["How to reproduce", "Mine"]
    assert "&lt;a&gt;" in html


def test_figure_takes_the_pages_colours():
    from matplotlib.figure import Figure

    def draw():
        figure = Figure()
        figure.subplots().set_title("title")
        return figure

    drawing, width = svg(draw, 'L < "1"')
    assert isinstance(drawing, Markup)
    assert drawing.startswith('<svg role="img" aria-label="L &lt; &#34;1&#34;"')
    assert width == 614  # 6.4 inches of 96 pixels
    assert "currentColor" in drawing
    assert ">title</text>" in drawing
    assert svg(draw, 'L < "1"')[0] == drawing  # the same figure gives the same page


def test_study_without_results_has_a_page_too(tmp_path):
    text = Page(write_report(Store.of("nothing", tmp_path))[0].read_text()).text
    assert "No trial is finished yet." in text


def test_strategy_that_no_module_registers_here_is_not_marked(tmp_path):
    store = Store.of("foreign", tmp_path)
    add(store, 16, "same_superclass", 0)
    html = write_report(store)[0].read_text()
    assert "same_superclass" in html
    assert "uses labels" not in html


def test_every_figure_has_a_caption_and_a_name_for_who_does_not_see_it(html):
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    assert len(figures) == 5  # findings, accuracy, loss, importance, response
    for figure in figures:
        assert re.search(r'<svg role="img" aria-label="[^"]{40,}"', figure)
        assert re.search(r"<figcaption><b>Figure \d\.</b> \w.{60,}</figcaption>", figure)
    assert 'aria-label="linear.features.top1 (%) against K' in html
    assert "46.7 at K = 64" in html


def test_numbers_stand_to_the_right_and_text_to_the_left():
    entries = {"bound": ["a", "b"], "loss": [2.0, None], "top1": ["53.3 ± 0.4 / 41.0", ""], "k": [16, 1024]}
    html = Html().body([Table("t", "caption", pd.DataFrame(entries))])
    cells = re.findall(r"<(t[dh])( class=\"number\")?>", html)
    assert [bool(right) for _, right in cells] == [False, True, True, True] * 3
    assert "<td>a</td>" in html


def test_the_contents_lead_to_every_part(html, page):
    listed = re.findall(r'<a href="#([\w-]+)">([^<]+)</a>', html)
    assert [title for _, title in listed] == page.headings
    assert all(f'id="{anchor}"' in html for anchor, _ in listed)
