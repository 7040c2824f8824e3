import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from study.data.cache import cache_root, data_home, stored

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
        arrays, meta = stored(KEY, lambda: build(log), tmp_path)
        assert meta == {"name": "x"}
        assert isinstance(arrays["inputs"], np.memmap)
        assert not arrays["inputs"].flags.writeable
        np.testing.assert_array_equal(arrays["inputs"], np.arange(5000))
    assert builds(log) == 1


def test_another_key_is_another_entry(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stored(KEY, lambda: build(log), tmp_path)
    stored(KEY | {"version": 2}, lambda: build(log), tmp_path)
    assert builds(log) == 2


CONCURRENT = """
import sys, time
from pathlib import Path
import numpy as np
from study.data.cache import stored

root = Path(sys.argv[1])

def build():
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
    stored(KEY, lambda: build(log), tmp_path)
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
    arrays, _ = stored(KEY, lambda: build(log), tmp_path)
    assert builds(log) == 2
    np.testing.assert_array_equal(arrays["inputs"], np.arange(5000))


def test_a_failed_build_leaves_no_entry_and_the_next_one_succeeds(tmp_path: Path) -> None:
    def fail() -> tuple[dict[str, np.ndarray], dict[str, object]]:
        raise ValueError("truncated image")

    with pytest.raises(ValueError, match="truncated image"):
        stored(KEY, fail, tmp_path)
    assert [p for p in (tmp_path / "data").iterdir() if p.is_dir()] == []
    stored(KEY, lambda: build(tmp_path / "log"), tmp_path)


def test_what_a_killed_process_left_behind_is_cleared(tmp_path: Path) -> None:
    log = tmp_path / "log"
    stored(KEY, lambda: build(log), tmp_path)
    entry = entry_of(tmp_path)
    unfinished = entry.rename(entry.with_suffix(".building"))
    (unfinished / "entry.json").unlink()
    stored(KEY, lambda: build(log), tmp_path)
    assert entry.is_dir()
    assert not unfinished.exists()


def test_maps_that_are_open_survive_a_rebuild(tmp_path: Path) -> None:
    log = tmp_path / "log"
    before, _ = stored(KEY, lambda: build(log), tmp_path)
    (entry_of(tmp_path) / "labels.npy").unlink()
    stored(KEY, lambda: build(log), tmp_path)
    np.testing.assert_array_equal(before["inputs"], np.arange(5000))


def test_an_entry_says_what_it_is(tmp_path: Path) -> None:
    stored(KEY, lambda: build(tmp_path / "log"), tmp_path)
    assert json.loads(json.loads((entry_of(tmp_path) / "entry.json").read_text())["key"]) == KEY


def test_the_environment_says_where_things_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert cache_root() == tmp_path / "cache"
    assert data_home() == tmp_path / "cache" / "downloads"
    monkeypatch.setenv("STUDY_DATA", str(tmp_path / "mine"))
    assert data_home() == tmp_path / "mine"
    monkeypatch.delenv("STUDY_CACHE")
    assert cache_root() == Path.home() / ".cache" / "negatives-study"
