"""The report's part on negatives, of trials that were really run."""

import re
from dataclasses import replace
from pathlib import Path

from study import TrialConfig
from study.figures import Records
from study.planning.resolve import resolve
from study.report.html import Html
from study.report.parts import Code
from study.report.sections import negatives_section
from study.report.settings import reproduce_section
from study.results import Results
from study.storage.store import Store
from study.storage.trial_result import TrialResult
from study.trial.run import run_trial
from tests.conftest import TINY, undrawn

CONFIG = {**TINY, "epochs": 3, "evaluations": ["linear", "negatives"], "negatives_every": 1}


def test_negatives_are_compared_across_cells_with_intervals_over_seeds(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    for strategy in ("all", "without_same_class"):
        for seed in (0, 1):
            trial = undrawn(resolve(TrialConfig(**CONFIG, k=32, negatives=strategy, seed=seed)))
            run_trial(replace(trial, cell={"negatives": strategy}), store.trial(trial.id), threads=1)
    section = negatives_section(Records(Results.load(store), store))
    assert section is not None
    body = Html().body(section.parts)
    for caption in (
        "same_class_share by difficulty",
        "Mean similarity of negatives by class, in WordNet order",
        "Confusion by the linear probe on features, in WordNet order",
        "How often a negative is among the hardest 5 %",
        "Same-class share of what the training selected",
        "Correlation of difficulty and meaning of test negatives",
    ):
        assert caption in body, caption
    assert "Similarity of meaning of what it selected, other classes" in body
    named = body[body.index("Pairs of classes whose difficulty follows their meaning most") :]
    for text in ("near and hard", "far but hard", "<td>square</td>", "without_\u200bsame_\u200bclass</th>"):
        assert text in named, text
    assert "±" in body
    assert "Left out" not in body


def test_the_report_says_why_semantics_are_off(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    store.trial("t").write_config({"config": {"seed": 0}, "cell": {}, "seed": 0})
    metrics, skipped = {"negatives.hard_5pct.beyond_99": 0.2}, {"meaning": "the data has no labels"}
    result = TrialResult(status="finished", metrics=metrics, skipped=skipped, started=0, ended=1)
    store.trial("t").write_result(result)
    section = negatives_section(Records(Results.load(store), store))
    assert section is not None
    body = Html().body(section.parts)
    assert "Left out: the data has no labels" in body


def test_cells_are_drawn_in_order_of_value_and_the_caption_says_how_many(tmp_path: Path) -> None:
    store = Store.of("s", tmp_path)
    bands = [{"band": name, "same_class_share": 0.1, "same_class_share_se": 0.01} for name in ("0–50 %", "all")]
    for place, k in enumerate((128, 8, 1024, 32, 16, 64, 512)):  # the ids are in another order
        trial = store.trial(f"t{place}")
        trial.write_config({"config": {"seed": 0, "k": k}, "cell": {"k": k}, "seed": 0})
        trial.write_table("negatives.bands", bands)
        trial.write_result(TrialResult(status="finished", metrics={"train.loss": 1.0}, started=0, ended=1))
    section = negatives_section(Records(Results.load(store), store))
    assert section is not None
    body = Html().body(section.parts)
    assert "6 of 7 cells shown, the first by value" in body
    legend = re.findall(r">k=(\d+)</text>", body)
    assert legend == ["8", "16", "32", "64", "128", "512"]


def test_a_diff_of_the_code_is_named_where_the_study_is_run_again(tmp_path: Path) -> None:
    store = Store(tmp_path / "s")
    trial = store.trial("aaa")
    trial.write_config({"config": {"k": 8, "seed": 0}, "cell": {"k": 8}, "seed": 0})
    code = {"git_commit": "abcdef", "git_changed": True, "git_diff": "d1ff"}
    trial.write_result(TrialResult(status="finished", started=0.0, ended=1.0, metrics={}, environment=code))
    section = reproduce_section(Records(Results.load(store), store))
    (code_block,) = [block.text for block in section.parts if isinstance(block, Code)]
    assert "git apply code-DIGEST.diff, of d1ff\ngit checkout abcdef\n" in code_block
