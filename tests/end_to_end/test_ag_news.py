"""Texts go through the same study as images: `study run` of a study.yaml on news, with statistics of its negatives."""

import random
from pathlib import Path

import pytest

from study.cli import main
from study.storage.store import Store

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
- k: {grid: [62]}
  negatives: {grid: [{name: semantic, hi: 0.99}]}
  precision: {grid: [float32, auto]}
- k: {grid: [40]}
"""


def article(topic: int, draw: random.Random) -> str:
    words = [draw.choice([*TOPICS[topic].split(), "the", "of", "today"]) for _ in range(12)]
    return f'"{topic + 1}","{" ".join(words[:4])}","{" ".join(words[4:])}"\n'


def article_files(folder: Path) -> Path:
    """A folder in it with 400 articles to train on and 120 to test on."""
    draw, root = random.Random(0), folder / "news"
    root.mkdir()
    for name, count in (("train.csv", 400), ("test.csv", 120)):
        (root / name).write_text("".join(article(i % 4, draw) for i in range(count)))
    return root


@pytest.fixture
def news(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("STUDY_STORAGE", str(tmp_path / "runs"))
    monkeypatch.setenv("STUDY_BFLOAT16", "1")  # to the workers, too: there auto is bfloat16
    (tmp_path / "study.yaml").write_text(STUDY.replace("ROOT", str(article_files(tmp_path))))
    return tmp_path


def test_a_study_of_news_in_both_precisions_runs_from_its_file_to_its_report(
    news: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(news / "study.yaml")]) == 0, capsys.readouterr().err
    store = Store.of("news", news / "runs")
    trials = [(trial.config(), trial.result()) for trial in store.trials()]
    assert len(trials) == 3
    for config, result in trials:
        assert result is not None
        assert (result.status, result.reason) == ("finished", None)
        k, precision, uses_labels = config["cell"]["k"], config["config"]["precision"], config["uses_labels"]
        assert result.environment["precision"] == {"float32": "float32", "auto": "bfloat16"}[precision]
        metrics = result.metrics
        assert metrics["train.k"] == k
        assert metrics["linear.features.top1"] > 50  # of four topics
        assert "linear.floor.top1" in metrics
        assert (metrics["train.collision_rate.selection"] == 0) is uses_labels
        assert 0 < metrics["negatives.pool.wup_other"] < 1
        assert "negatives.spearman_path" in metrics
        assert "bounds.contrastive_loss" in metrics
    difficulty = next(iter(store.trials())).table("negatives.difficulty")
    assert {row["class"] for row in difficulty} == {"World", "Sports", "Business", "Sci/Tech"}
    assert all(".n." in row["synset"] for row in difficulty)
    assert main(["report", str(news / "study.yaml")]) == 0
    assert "ag_news" in (store.path / "report.html").read_text()
