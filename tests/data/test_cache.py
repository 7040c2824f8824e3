import importlib.util
import json
import os
import subprocess
import sys
import types
from collections.abc import Iterator
from pathlib import Path

import cloudpickle
import numpy as np
import pytest

from study.data import DATASETS, DataSource
from study.data.cache import cache_root, code_of, data_home, stored

KEY = {"source": "test", "version": 1}


def build(log: Path) -> tuple[dict[str, np.ndarray], dict[str, object]]:
    with log.open("a") as file:
        file.write("built\n")
    return {"inputs": np.arange(5000, dtype=np.int32), "labels": np.arange(10)}, {"name": "x"}


def builds(log: Path) -> int:
    return log.read_text().count("built")


def entry_of(root: Path) -> Path:
    (manifest,) = root.glob("data/*/entry.json")
    return manifest.parent


def test_what_was_built_is_mapped_and_not_built_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    for _ in range(3):
        arrays, meta = stored(KEY, lambda _: build(log), tmp_path)
        assert meta == {"name": "x"}
        assert isinstance(arrays["inputs"], np.memmap)
        assert not arrays["inputs"].flags.writeable
        np.testing.assert_array_equal(arrays["inputs"], np.arange(5000))
    assert builds(log) == 1


def test_another_key_is_another_entry(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stored(KEY, lambda _: build(log), tmp_path)
    stored(KEY | {"version": 2}, lambda _: build(log), tmp_path)
    assert builds(log) == 2


CONCURRENT = """
import sys, time
from pathlib import Path
import numpy as np
from study.data.cache import stored

root = Path(sys.argv[1])

def build(folder):
    with (root / "log").open("a") as log:
        log.write("built\\n")
    time.sleep(0.5)
    return {"inputs": np.arange(5000)}, {}

(root / f"ready{sys.argv[2]}").touch()
while len(list(root.glob("ready*"))) < 3:
    time.sleep(0.01)
print(stored({"source": "test"}, build, root)[0]["inputs"].sum())
"""


def test_processes_that_start_at_once_build_once(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CONCURRENT, str(tmp_path)]
    running = [subprocess.Popen([*command, str(i)], stdout=subprocess.PIPE, text=True) for i in range(3)]
    assert [process.communicate(timeout=60)[0] for process in running] == [f"{sum(range(5000))}\n"] * 3
    assert builds(tmp_path / "log") == 1


def overwrite(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    os.utime(file, ns=(1, 1))


@pytest.mark.parametrize("damage", ["truncated", "flipped", "file missing", "manifest cut off", "manifest missing"])
def test_a_damaged_entry_is_built_again(tmp_path: Path, damage: str) -> None:
    log = tmp_path / "log"
    stored(KEY, lambda _: build(log), tmp_path)
    entry = entry_of(tmp_path)
    array, manifest = entry / "inputs.npy", entry / "entry.json"
    content = bytearray(array.read_bytes())
    if damage == "truncated":
        overwrite(array, content[:-100])
    elif damage == "flipped":
        content[-1] ^= 1
        overwrite(array, content)
    elif damage == "manifest cut off":
        manifest.write_text(manifest.read_text()[:-20])
    else:
        (array if damage == "file missing" else manifest).unlink()
    arrays, _ = stored(KEY, lambda _: build(log), tmp_path)
    assert builds(log) == 2
    np.testing.assert_array_equal(arrays["inputs"], np.arange(5000))


def test_a_failed_build_leaves_no_entry_and_the_next_one_succeeds(tmp_path: Path) -> None:
    def fail(folder: Path) -> tuple[dict[str, np.ndarray], dict[str, object]]:
        raise ValueError("truncated image")

    with pytest.raises(ValueError, match="truncated image"):
        stored(KEY, fail, tmp_path)
    assert [p for p in (tmp_path / "data").iterdir() if p.is_dir()] == []
    stored(KEY, lambda _: build(tmp_path / "log"), tmp_path)


def test_what_a_killed_process_left_behind_is_cleared(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stored(KEY, lambda _: build(log), tmp_path)
    entry = entry_of(tmp_path)
    unfinished = entry.rename(entry.with_suffix(".building"))
    (unfinished / "entry.json").unlink()
    stored(KEY, lambda _: build(log), tmp_path)
    assert entry.is_dir()
    assert not unfinished.exists()


def test_maps_that_are_open_survive_a_rebuild(tmp_path: Path) -> None:
    log = tmp_path / "log"
    before, _ = stored(KEY, lambda _: build(log), tmp_path)
    (entry_of(tmp_path) / "labels.npy").unlink()
    stored(KEY, lambda _: build(log), tmp_path)
    np.testing.assert_array_equal(before["inputs"], np.arange(5000))


def test_an_entry_says_what_it_is(tmp_path: Path) -> None:
    stored(KEY, lambda _: build(tmp_path / "log"), tmp_path)
    assert json.loads(json.loads((entry_of(tmp_path) / "entry.json").read_text())["key"]) == KEY


def test_the_environment_says_where_things_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_root() == tmp_path / "cache"
    assert data_home() == tmp_path / "cache" / "downloads"
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "mine"))
    assert data_home() == tmp_path / "mine"
    monkeypatch.delenv("STUDY_CACHE")
    assert cache_root() == Path.home() / ".cache" / "negatives-study"


SOURCE = """
from dataclasses import dataclass
import numpy as np
from study.data import Dataset, DataSource, Split

LEVEL = {level}

def image():
    return np.full((2, 4, 4, 3), LEVEL {sign} 1, np.uint8)

@dataclass(frozen=True, kw_only=True)
class Mine(DataSource):
    def decode(self):
        split = Split(image(), np.zeros(2, np.int64))
        return Dataset("mine", "image", split, split, ("a",))
"""


def first_pixel(source: DataSource) -> int:
    return int(source.load().train.inputs[0, 0, 0, 0])


def imported(folder: Path, text: str) -> type[DataSource]:
    """The class of a mydata.py in that folder, as a script beside it imports it."""
    folder.mkdir(exist_ok=True)
    (folder / "mydata.py").write_text(text)
    spec = importlib.util.spec_from_file_location("mydata", folder / "mydata.py")
    assert spec is not None
    module = sys.modules["mydata"] = importlib.util.module_from_spec(spec)
    exec(compile(text, spec.origin or "", "exec"), vars(module))  # bytecode on disk knows no change within a second
    return module.Mine


@pytest.fixture
def _no_mydata() -> Iterator[None]:
    yield
    sys.modules.pop("mydata", None)


@pytest.mark.usefixtures("_no_mydata")
def test_two_projects_with_a_module_of_one_name_have_each_their_own_arrays(tmp_path: Path) -> None:
    one = imported(tmp_path / "one", SOURCE.format(level=10, sign="+"))()
    assert first_pixel(one) == 11
    assert first_pixel(imported(tmp_path / "two", SOURCE.format(level=20, sign="+"))()) == 21
    assert len({code_of(imported(tmp_path / name, SOURCE.format(level=10, sign="+"))) for name in "abc"}) == 3
    assert first_pixel(one) == 11


@pytest.mark.usefixtures("_no_mydata")
@pytest.mark.parametrize(("level", "sign", "expected"), [(10, "-", 9), (30, "+", 31)], ids=["helper", "constant"])
def test_edited_code_is_decoded_anew(level: int, sign: str, expected: int, tmp_path: Path) -> None:
    assert first_pixel(imported(tmp_path / "one", SOURCE.format(level=10, sign="+"))()) == 11
    assert first_pixel(imported(tmp_path / "one", SOURCE.format(level=level, sign=sign))()) == expected
    assert first_pixel(imported(tmp_path / "one", SOURCE.format(level=10, sign="+"))()) == 11


@pytest.mark.usefixtures("_no_mydata")
@pytest.mark.parametrize(("level", "sign", "expected"), [(10, "-", 9), (30, "+", 31)], ids=["helper", "constant"])
def test_a_class_without_a_file_is_known_by_its_methods_and_what_they_name(
    level: int, sign: str, expected: int
) -> None:
    def in_a_notebook(text: str) -> DataSource:
        module = sys.modules["mydata"] = types.ModuleType("mydata")
        exec(text, vars(module))
        return module.Mine()

    assert first_pixel(in_a_notebook(SOURCE.format(level=10, sign="+"))) == 11
    assert first_pixel(in_a_notebook(SOURCE.format(level=level, sign=sign))) == expected
    before = code_of(type(in_a_notebook(SOURCE.format(level=10, sign="+"))))
    assert before == code_of(type(in_a_notebook(SOURCE.format(level=10, sign="+"))))


@pytest.mark.usefixtures("_no_mydata")
def test_a_worker_without_the_file_finds_the_arrays_of_the_driver(tmp_path: Path) -> None:
    source = imported(tmp_path / "one", SOURCE.format(level=10, sign="+"))()
    assert first_pixel(source) == 11
    cloudpickle.register_pickle_by_value(sys.modules["mydata"])
    try:
        sent = cloudpickle.dumps(source)
    finally:
        cloudpickle.unregister_pickle_by_value(sys.modules["mydata"])
    (tmp_path / "source").write_bytes(sent)
    code = "import pickle, sys; print(pickle.load(open(sys.argv[1], 'rb')).load().train.inputs.filename)"
    ran = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "source")], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == str(source.load().train.inputs.filename)
    assert len(list((tmp_path / "cache" / "data").glob("*/entry.json"))) == 1


def test_the_code_of_the_package_is_told_by_its_version() -> None:
    assert {code_of(DATASETS[name]) for name in ("shapes", "image_folder", "cifar10", "ag_news")} == {""}
