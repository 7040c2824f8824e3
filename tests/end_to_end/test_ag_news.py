"""Texts go through the same study as images: `study run` of a study.yaml on news, with statistics of its negatives."""

import random
from pathlib import Path

import pytest

from study.cli import main
from study.store import Store

pytestmark = [
    pytest.mark.timeout(900),  # on a busy machine Ray's workers are the first to wait
    # Ray leaves a socket of its own to the garbage collector, and tune warns of its own deprecated parts.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::FutureWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

TOPICS = ("treaty minister border vote", "goal coach match league", "shares profit bank oil", "chip web phone software")
STUDY = """
name: news
question: Do negatives of other topics help on news?
base:
  data: {name: ag_news, root: ROOT}
  encoder: {name: bag-of-embeddings, dim: 16}
  augmentation: {name: erase-replace, erase_probability: 0.3}
  head: {name: mlp, dim: 16}
  optimizer: {name: adamw, learning_rate: 0.01}
  batch_size: 32
  epochs: 4
  evaluations: [linear, contrastive, negatives, bounds]
  evaluation_views: 2
space:
  negatives: {grid: [all, {name: semantic, hi: 0.99}]}
  k: {grid: [8, 62]}
"""


def article(topic: int, draw: random.Random) -> str:
    words = [draw.choice([*TOPICS[topic].split(), "the", "of", "today"]) for _ in range(12)]
    return f'"{topic + 1}","{" ".join(words[:4])}","{" ".join(words[4:])}"\n'


@pytest.fixture
def news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STUDY_STORAGE", str(tmp_path / "runs"))
    draw = random.Random(0)
    (tmp_path / "news").mkdir()
    for name, count in (("train.csv", 400), ("test.csv", 120)):
        (tmp_path / "news" / name).write_text("".join(article(i % 4, draw) for i in range(count)))
    (tmp_path / "study.yaml").write_text(STUDY.replace("ROOT", str(tmp_path / "news")))
    return tmp_path


def test_a_study_of_news_runs_from_its_file_to_its_report(news: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", str(news / "study.yaml")]) == 0, capsys.readouterr().err
    store = Store.of("news", news / "runs")
    trials = {(t.config()["cell"]["k"], t.config()["uses_labels"]): t.result() for t in store.trials()}
    assert sorted(trials) == [(8, False), (8, True), (62, False), (62, True)]
    for (k, uses_labels), result in trials.items():
        assert result is not None
        assert (result["status"], result["reason"]) == ("finished", None)
        metrics = result["metrics"]
        assert metrics["train.k"] == k
        assert metrics["linear.features.top1"] > 50  # of four topics
        assert "linear.floor.top1" in metrics
        if k > 8:  # an anchor that is offered its own topic alone keeps a candidate of it
            assert (metrics["train.collision_rate.selection"] == 0) is uses_labels
        assert 0 < metrics["negatives.pool.wup_other"] < 1
        assert "negatives.spearman_path" in metrics
        assert "bounds.contrastive_loss" in metrics
    difficulty = next(iter(store.trials())).table("negatives.difficulty")
    assert {row["class"] for row in difficulty} == {"World", "Sports", "Business", "Sci/Tech"}
    assert all(".n." in row["synset"] for row in difficulty)
    assert main(["report", str(news / "study.yaml")]) == 0
    assert "ag_news" in (store.path / "report.html").read_text()
