"""The meaning of classes is found, asked for or said to be unknown before anything starts."""

import dataclasses
import re
import subprocess
import tarfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from study import Study, TrialConfig
from study.cli import main
from study.config import ConfigError
from study.data import DATASETS, Dataset, DataSource, Split
from study.planning.resolve import resolve
from study.storage.store import Store
from study.trial.run import run_trial
from tests.conftest import TINY

TINY_IMAGENET = Path(__file__).parents[2].parent / "shared" / "data" / "tiny-imagenet-32-small.tar.xz"


@dataclasses.dataclass(frozen=True, kw_only=True)
class Unlabelled(DataSource):
    """Noise without labels."""

    def decode(self) -> Dataset:
        draw = np.random.default_rng(0)
        splits = (Split(draw.integers(0, 256, (n, 32, 32, 3), dtype=np.uint8), None) for n in (128, 64))
        return Dataset("unlabelled", "image", *splits, ("anything",))


@pytest.fixture
def unlabelled(monkeypatch: pytest.MonkeyPatch) -> dict[str, object]:
    monkeypatch.setattr(DATASETS, "_entries", dict(DATASETS._entries))
    monkeypatch.setattr(DATASETS, "_traits", dict(DATASETS._traits))
    DATASETS.register("unlabelled")(Unlabelled)
    return {**TINY, "data": "unlabelled", "epochs": 1, "evaluations": None}


def folder_of(root: Path, *classes: str) -> dict[str, object]:
    """A config whose data are a few images a class."""
    draw = np.random.default_rng(0)
    for split, count in (("train", 16), ("test", 8)):
        for name in classes:
            (root / split / name).mkdir(parents=True)
            for i in range(count):
                Image.fromarray(draw.integers(0, 256, (32, 32, 3), dtype=np.uint8)).save(
                    root / split / name / f"{i}.png"
                )
    return {**TINY, "data": {"name": "image_folder", "root": str(root)}, "batch_size": 16, "epochs": 2}


def problems(**config: object) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(TrialConfig(**config))
    return str(caught.value)


def test_the_data_sets_own_map_needs_no_word(tiny: TrialConfig) -> None:
    meaning = resolve(tiny).parts.meaning
    assert len(meaning.synsets) == 20
    assert (meaning.given, meaning.note) == (None, "")


def test_ambiguous_classes_are_announced_in_three_lines_with_what_to_type(tmp_path: Path) -> None:
    config = folder_of(tmp_path / "images", "crane", "goldfish", "cat", "dog", "mouse")
    *_, off, to_have, to_do_without = str(Study("birds", base=TrialConfig(**config)).plan()).splitlines()
    assert off.strip() == (
        "statistics of what negatives mean are off: 4 of 5 classes have no synset yet: "
        "cat (8 noun senses), crane (5 noun senses), dog (7 noun senses) and 1 more"
    )
    assert to_have.startswith("    to have them: look over the senses in ")
    assert to_do_without == "    to do without: --set synsets={}"


def setting(plan: str, of: str) -> str:
    """The setting that a plan says to type, as a shell passes it on."""
    (typed,) = re.findall(rf"{of}.*--set (.*)", plan)
    return subprocess.run(["bash", "-c", f"printf %s {typed}"], capture_output=True, text=True, check=True).stdout


def test_what_a_plan_says_to_type_gives_the_first_senses_or_does_without(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "the cache"))
    described = {"name": "birds", "question": "?", "base": folder_of(tmp_path / "images", "crane", "goldfish")}
    (tmp_path / "birds.yaml").write_text(yaml.safe_dump(described | {"space": {"k": {"grid": [4]}}}))

    def plan(*arguments: str) -> tuple[int, str]:
        status = main(["plan", str(tmp_path / "birds.yaml"), *arguments])
        return status, capsys.readouterr().out

    _, said = plan()
    (file,) = (tmp_path / "the cache" / "synsets").iterdir()
    assert '# "crane": "crane.n.05"  # large long-necked wading bird' in file.read_text()
    assert plan("--set", setting(said, "to do without"))[1].count("synset") == 0
    status, told = plan("--set", setting(said, "to have them"), "--json")
    assert (status, told.count("synset")) == (0, 0)
    file.write_text("crane: crane.n.05\ngoldfish: goldfish.n.01\n")
    assert "to have them" in plan()[1]
    assert file.read_text().startswith("crane: crane.n.05"), "what the user made of it stays"


def test_declined_synsets_leave_trials_as_they_were(tmp_path: Path) -> None:
    config = folder_of(tmp_path / "images", "crane", "goldfish")
    assert resolve(TrialConfig(**config, synsets={})).id == resolve(TrialConfig(**config)).id


def test_synsets_that_were_read_off_longer_names_are_announced(tmp_path: Path) -> None:
    config = folder_of(tmp_path / "images", "018.goldfish", "n02085620-Chihuahua", "n02084071")
    plan = str(Study("pets", base=TrialConfig(**config)).plan())
    assert (
        "synsets read off class names: 018.goldfish = goldfish.n.01, n02085620-Chihuahua = chihuahua.n.03; for" in plan
    )


def test_a_class_with_a_dot_in_its_name_gets_its_synset_as_the_advice_says(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described = {"name": "arms", "question": "?", "base": folder_of(tmp_path / "images", "001.ak47", "goldfish")}
    (tmp_path / "arms.yaml").write_text(yaml.safe_dump(described | {"space": {"k": {"grid": [4]}}}))
    assert main(["plan", str(tmp_path / "arms.yaml")]) == 0
    assert "1 of 2 classes have no synset yet: 001.ak47 (no noun sense)" in capsys.readouterr().out
    assert main(["plan", str(tmp_path / "arms.yaml"), "--set", "synsets={goldfish: goldfish.n.01}"]) == 2
    assert """--set 'synsets={"001.ak47": lemma.n.NN}' …""" in capsys.readouterr().err
    synsets = """synsets={"001.ak47": assault_rifle.n.01, goldfish: goldfish.n.01}"""
    assert main(["plan", str(tmp_path / "arms.yaml"), "--set", synsets]) == 0
    assert "statistics of what negatives mean are off" not in capsys.readouterr().out


def test_a_mapping_that_misses_a_class_is_one_problem_on_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    described = {"name": "birds", "question": "?", "base": folder_of(tmp_path / "images", "crane", "goldfish")}
    (tmp_path / "birds.yaml").write_text(yaml.safe_dump(described | {"space": {"k": {"grid": [4]}}}))
    assert main(["plan", str(tmp_path / "birds.yaml"), "--set", "synsets.goldfish=goldfish.n.01"]) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[0] == "study: 1 problem; nothing was started"
    assert "    class 'crane': the mapping has no synset for it" in said
    assert any(line.startswith("      crane.n.05: large long-necked wading bird") for line in said)


def test_one_mapping_serves_the_strategy_and_the_statistics(tmp_path: Path) -> None:
    config = folder_of(tmp_path / "images", "crane", "goldfish")
    strategy = {"name": "semantic", "measure": "wup", "hi": 0.99}
    refused = problems(**config, negatives=strategy)
    assert "selecting by wup needs the synset of every class: 1 of 2" in refused
    assert "; look over the senses in " in refused
    synsets = {"crane": "n02012849", "goldfish": "goldfish.n.01"}
    trial = resolve(TrialConfig(**{**config, "evaluations": ["negatives"]}, negatives=strategy, synsets=synsets))
    assert trial.parts.meaning.synsets == ("crane.n.05", "goldfish.n.01")
    result = run_trial(trial, Store.of("s", tmp_path).trial("t"), threads=1)
    assert result.status == "finished", result.reason
    assert result.metrics["negatives.selected.same_class_share"] == 0
    assert 0 < result.metrics["negatives.offered.wup_other"] < 1
    assert "negatives.hard_5pct.wup" in result.metrics
    assert result.data["synsets"] == ["crane.n.05", "goldfish.n.01"]


def test_the_mapping_is_identity_by_the_synset_however_it_is_named(tmp_path: Path) -> None:
    config = folder_of(tmp_path / "images", "crane", "goldfish")
    ids = [
        resolve(TrialConfig(**config, synsets={"crane": crane, "goldfish": "goldfish.n.01"})).id
        for crane in ("n02012849", "crane.n.05", "crane.n.04")
    ]
    assert ids[0] == ids[1] != ids[2]


@pytest.mark.parametrize(
    ("synsets", "message"),
    [
        ({"crane": "crane.n.99", "goldfish": "goldfish.n.01"}, "no synset 'crane.n.99'"),
        ({"goldfish": "goldfish.n.01"}, "class 'crane': the mapping has no synset for it"),
        ({"crame": "crane.n.05"}, "the mapping names classes that the data do not have: 'crame'; did you mean 'crane'"),
    ],
    ids=["unknown synset", "misses a class", "unknown class"],
)
def test_a_mapping_that_is_wrong_is_refused(tmp_path: Path, synsets: dict[str, str], message: str) -> None:
    config = folder_of(tmp_path / "images", "crane", "goldfish")
    found = problems(**config, synsets=synsets)
    assert found.startswith("synsets: ")
    assert message in found


def test_tiny_imagenets_folders_need_no_mapping(tmp_path: Path) -> None:
    """Of each of its 200 wnids a few images, through a trial with every evaluation."""
    if not TINY_IMAGENET.exists():
        pytest.skip("needs tiny-imagenet-32-small.tar.xz of the shared development data beside the repository")
    wanted = {"train": 4, "val": 2}
    taken: Counter[str] = Counter()
    with tarfile.open(TINY_IMAGENET) as archive:
        for member in archive:
            parts = Path(member.name).parts
            split = next((part for part in parts if part in wanted), None)
            folder = str(Path(member.name).parent)
            if member.isfile() and split and len(parts) > 2 and taken[folder] < wanted[split]:
                taken[folder] += 1
                archive.extract(member, tmp_path / "images", filter="data")
    assert len(taken) == 400
    root = next((tmp_path / "images").rglob("train")).parent
    config = {**TINY, "data": {"name": "image_folder", "root": str(root)}, "epochs": 2, "evaluations": None}
    trial = resolve(TrialConfig(**config, negatives_every=1))
    assert (len(trial.parts.meaning.synsets), trial.parts.meaning.note) == (200, "")
    at = Store.of("s", tmp_path).trial("t")
    result = run_trial(trial, at, threads=1)
    assert (result.status, result.skipped.keys()) == ("finished", {"bounds"}), result.reason
    assert result.skipped["bounds"].startswith("at K = 512, 1024: more than the 399 other test samples")
    assert {"negatives.spearman_wup_pairs", "negatives.selected.wup", "linear.features.top5"} <= result.metrics.keys()
    assert "goldfish.n.01" in {row["class"] for row in at.table("linear.features.by_class")}
    assert {"negatives.difficulty.png", "linear.features.confusion.png", "negatives.collisions.png"} <= {
        path.name for path in at.artifacts.iterdir()
    }


def test_data_without_labels_have_the_semantic_part_off_and_say_so(unlabelled: dict, tmp_path: Path) -> None:
    plan = str(Study("noise", base=TrialConfig(**unlabelled)).plan())
    assert "statistics of what negatives mean are off: the data has no labels" in plan
    assert "the data has no labels, so synsets change nothing" in problems(**unlabelled, synsets={"anything": "x.n.01"})
    result = run_trial(resolve(TrialConfig(**unlabelled)), Store.of("s", tmp_path).trial("t"), threads=1)
    assert result.status == "finished", result.reason
    assert result.skipped["meaning"] == "the data has no labels"
    found = {name for name in result.metrics if name.startswith("negatives.")}
    assert found == {f"negatives.{b}.{m}" for b in ("hard_5pct", "easy_5pct") for m in ("overdispersion", "beyond_99")}


def test_measurements_on_the_way_need_the_evaluation_and_an_epoch_to_fall_on() -> None:
    assert "negatives_every: evaluations lack `negatives`" in problems(**TINY, negatives_every=1)
    asked = {**TINY, "evaluations": ["negatives"]}
    assert "negatives_every: 4 is more than the 3 epochs" in problems(**asked, negatives_every=4)


def test_an_unknown_measure_is_refused(tiny: TrialConfig) -> None:
    found = problems(**TINY, negatives={"name": "semantic", "measure": "wip"})
    assert "negatives: " in found
    assert "did you mean 'wup'" in found


def vectors(tmp_path: Path, words: str) -> str:
    draw = np.random.default_rng(0)
    lines = [f"{word} {' '.join(map(str, draw.normal(size=3)))}" for word in words.split()]
    (tmp_path / "vectors.txt").write_text("\n".join(lines) + "\n")
    return str(tmp_path / "vectors.txt")


def test_word_vectors_are_read_when_a_study_is_planned_and_change_no_trial(tmp_path: Path) -> None:
    config = {**TINY, "evaluations": ["negatives"], "epochs": 1}
    path = vectors(tmp_path, "circle ellipse triangle square pentagon hexagon star")
    trial = resolve(TrialConfig(**config, word_vectors=path))
    assert trial.id == resolve(TrialConfig(**config)).id
    assert "word_vectors" not in trial.config
    assert any("no word vectors of " in note and "cylinder" in note for note in trial.notes)
    folder = Store.of("s", tmp_path).trial("t")
    assert run_trial(trial, folder, threads=1).finished
    assert [row["of"] for row in folder.table("negatives.untrained")] == ["untrained features", "word vectors"]
    assert [row["of"] for row in folder.table("negatives.pairs")] == ["meaning", "features", "embeddings"]


def test_word_vectors_that_change_nothing_or_are_none_are_refused(tmp_path: Path) -> None:
    asked = {**TINY, "evaluations": ["negatives"]}
    assert "word_vectors: evaluations lack `negatives`" in problems(**TINY, word_vectors="v.txt")
    assert "word_vectors: v.txt is no file" in problems(**asked, word_vectors="v.txt")
    few = vectors(tmp_path, "circle ellipse")
    assert "has vectors of 2 of 20 classes, and 5 are needed" in problems(**asked, word_vectors=few)


def test_word_vectors_of_classes_without_meaning_are_refused(tmp_path: Path) -> None:
    config = {**folder_of(tmp_path, "qqa", "qqb"), "evaluations": ["negatives"]}
    found = problems(**config, word_vectors=vectors(tmp_path, "qqa qqb"))
    assert "word_vectors: they are held against WordNet, which is off" in found
