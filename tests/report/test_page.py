import json
import math
import re
from html.parser import HTMLParser

import pandas as pd
import pytest
from markupsafe import Markup

from study.report.html import Section, svg, table
from study.report.page import write_report
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


def add(store, k, strategy, seed, reason=None):
    trial = store.trial(f"{k}{strategy[0]}{seed}")
    config = {"k": k, "negatives": {"name": strategy}, "method": {"name": "simclr"}, "seed": seed}
    described = {"config": config, "cell": {"k": k, "negatives": strategy}, "seed": seed}
    trial.write_config(described | {"uses_labels": strategy == "without_same_class"})
    for epoch in (1, 2):
        trial.append({"epoch": epoch, "time": 1.0, "metrics": {"train.loss": math.log(k) / epoch}})
    top1 = 40 + math.log2(k) + 5 * (strategy != "all") + seed + 0.4 * seed * (k == 64)
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
    return write_report(store).read_text()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_page_needs_nothing_from_outside(html, page):
    assert page.fetched == []
    assert not re.search(r"@import|url\((?!#)", html)


def test_tables_lie_beside_the_page(store, tmp_path):
    folder = tmp_path / "elsewhere"
    assert write_report(store, folder) == folder / "report.html"
    assert sorted(path.name for path in folder.iterdir()) == ["report.html", "results.csv", "results.parquet"]


def test_parts_are_in_order(page):
    parts = ["Findings", "Results", "Training loss", "Importance", "Theory", "Failures", "Plan", "Provenance"]
    assert page.headings == parts
    assert "Does accuracy grow with <K>?" in page.text  # escaped, so the parser gives it back


def test_findings_have_verdict_effect_and_links_to_the_trials_behind_them(html, page):
    section = html[html.index('<h2 id="findings">') : html.index('<h2 id="results">')]
    assert '<td class="wrap">Contrastive learning gains accuracy over its untrained encoder.</td>' in section
    assert "<td>supported</td>" in section
    assert 'aria-label="' in section
    linked = set(re.findall(r'href="#trial-(\w+)"', section))
    assert linked
    assert linked <= set(re.findall(r'<tr id="trial-(\w+)">', html))
    assert "needs cells with negatives hardest_5pct, and with negatives hardest_5pct_control" in section


def test_best_cell_is_told_with_interval_floor_and_whether_it_uses_labels(page):
    best, unlabelled, words = re.findall(r"(?:Best cell|k=)[^\n]*?\.(?=\n|$|Best|k=)", page.text)[:3]
    assert "k = 64, negatives = without_same_class: linear probe, features 51.7 ± 0.4 %" in best
    assert "(n = 2, uses labels), +10.7 against the untrained encoder" in best
    assert "Best cell without labels: k = 64, negatives = all: linear probe, features 46.7 ± 0.4 %" in unlabelled
    assert words == (
        "k=64, negatives=without_same_class: 51.7, the highest mean of 4 cells, told apart from all others; "
        "it leads the next, k=16, negatives=without_same_class, by 2.2 (1.4 to 3.0)."
    )


def test_table_has_the_floor_beside_the_accuracy_and_a_mark_on_label_users(html):
    rows = re.findall(r"<tr.*?</tr>", html[html.index('<tr class="best">') :], re.DOTALL)[:4]
    plain = [" ".join(re.sub(r"<[^>]*>", " ", row).split()) for row in rows]
    assert plain[0].startswith("64 without_same_class † 2 51.7 ± 0.4 / 41.0 2.000 ± 0.000 36.0")
    assert ["†" in row for row in plain] == [True, True, False, False]


def test_failures_are_listed_with_their_reasons(page):
    assert "the loss is <nan> in epoch 2: lower optimizer.lr" in page.text


def test_provenance_tells_versions_data_and_where_trials_differ(page):
    for fact in ("2.15.0", "abcdef", "d1g35t", "4 (4 trials), 2 (5 trials)", "uniform, 0.1 to 1", "9 trials"):
        assert fact in page.text


def test_page_shows_no_password(html):
    assert "hunter2" not in html


def test_sections_are_added_and_left_out(store):
    def bounds(records):
        return Section("Bounds", table(pd.DataFrame({"bound": ["<a>"], "loss": [2.0]})))

    html = write_report(store, sections=[bounds, lambda records: None]).read_text()
    assert Page(html).headings == ["Findings", "Results", "Bounds", "Failures", "Plan", "Provenance"]
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
    text = Page(write_report(Store.of("nothing", tmp_path)).read_text()).text
    assert "No trial is finished yet." in text


def test_strategy_that_no_module_registers_here_is_not_marked(tmp_path):
    store = Store.of("foreign", tmp_path)
    add(store, 16, "same_superclass", 0)
    html = write_report(store).read_text()
    assert "same_superclass" in html
    assert "†" not in html


def test_every_figure_has_a_caption_and_a_name_for_who_does_not_see_it(html):
    figures = re.findall(r"<figure.*?</figure>", html, re.DOTALL)
    assert len(figures) == 5  # findings, accuracy, loss, importance, response
    for figure in figures:
        assert re.search(r'<svg role="img" aria-label="[^"]{40,}"', figure)
        assert re.search(r"<figcaption>\w.+</figcaption>", figure)
    assert 'aria-label="linear.features.top1 (%) against K' in html
    assert "46.7 at K = 64" in html


def test_numbers_stand_to_the_right_and_text_to_the_left():
    frame = pd.DataFrame({"bound": ["a", "b"], "loss": [2.0, None], "top1": ["53.3 ± 0.4", ""], "k": [16, 1024]})
    cells = re.findall(r"<(t[dh])( class=\"number\")?>", table(frame))
    assert [bool(right) for _, right in cells] == [False, True, True, True] * 3
    assert "<td>a</td>" in table(frame)


def test_the_contents_lead_to_every_part(html, page):
    listed = re.findall(r'<a href="#([\w-]+)">([^<]+)</a>', html)
    assert [title for _, title in listed] == page.headings
    assert all(f'id="{anchor}"' in html for anchor, _ in listed)
