"""Images go straight into the cache: what is looked at when, what memory it takes, and what a kill leaves."""

import os
import pickle
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from study.data import image_folder
from study.data.image_folder import ImageFolder
from study.data.images import decoding
from tests.data.conftest import image_bytes
from tests.data.odd_images import jpeg

MakeFiles = Callable[..., dict[str, bytes]]
Write = Callable[..., Path]


def refuse(*arguments: object) -> None:
    raise AssertionError("it is not to be called")


def source(root: Path, **parameters: object) -> ImageFolder:
    return ImageFolder(root=str(root), **({"validation_size": 0} | parameters))


def test_a_plan_looks_at_names_only(
    image_files: MakeFiles, write_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(image_files())
    decoded = source(write_folder(image_files(), "same")).load().shape
    monkeypatch.setenv("STUDY_CACHE", str(root.parent / "another"))
    monkeypatch.setattr(decoding, "decode_image", refuse)
    source(root).check()
    assert source(root).shape() == decoded


def test_loading_what_is_decoded_looks_at_no_file(
    image_files: MakeFiles, write_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = source(write_folder(image_files()))
    before = there.load()
    sent = pickle.dumps(there)
    monkeypatch.setattr(image_folder, "entries", refuse)
    monkeypatch.setattr(image_folder, "state", refuse)
    after = pickle.loads(sent).load()
    assert (after.digest, after.notes) == (before.digest, before.notes)


def test_what_is_decoded_stays_where_the_same_images_move(
    image_files: MakeFiles, write_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_folder(image_files())
    before = source(root).load()
    moved = root.rename(root.with_name("moved"))
    monkeypatch.setattr(decoding, "decode_image", refuse)
    after = source(moved).load()
    assert after.digest == before.digest
    assert (before.notes["source"], after.notes["source"]) == ("folder", "moved")


KILLED = """
import os, signal, sys
from study.data.image_folder import ImageFolder
from study.data.images import decoding

decode, count = decoding.decode_image, 0

def dying(content, size):
    global count
    count += 1
    if count > 25:
        os.kill(os.getpid(), signal.SIGKILL)
    return decode(content, size)

decoding.decode_image, decoding._SETTLED = dying, 10
ImageFolder(root=sys.argv[1]).load()
"""


def test_a_killed_process_leaves_what_it_has_decoded_to_the_next(
    image_files: MakeFiles, write_folder: Write, write_tar: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = image_files(count=10)
    root, whole = write_folder(files), source(write_tar(files), image_size=32).load()
    monkeypatch.setenv("STUDY_CACHE", str(root.parent / "another"))
    ran = subprocess.run([sys.executable, "-c", KILLED, str(root)], cwd=Path(__file__).parents[2])
    assert ran.returncode == -signal.SIGKILL
    decoded, decode = [], decoding.decode_image
    monkeypatch.setattr(decoding, "decode_image", lambda content, size: decoded.append(1) or decode(content, size))
    again = source(root).load()
    assert len(decoded) <= 40 - 10, "ten at least were written down"
    assert again.digest == whole.digest
    assert [path.suffix for path in (root.parent / "another/data").iterdir()].count(".building") == 0


def test_rows_of_unreadable_images_are_dropped(
    image_files: MakeFiles, write_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = image_files(count=5)
    whole = source(write_folder(files)).load()
    damaged = files | {"train/cat/2.png": b"", "train/cat/25.png": jpeg()[:-400], "test/dog/0.png": image_bytes(99)}
    monkeypatch.setattr(decoding, "_CHUNK", 32 * 32 * 3 * 2)  # two images at a time
    data = source(write_folder(damaged, "damaged"), skip_unreadable=True).load()
    np.testing.assert_array_equal(data.train.inputs, np.delete(whole.train.inputs, 2, axis=0))
    np.testing.assert_array_equal(data.train.labels, np.delete(whole.train.labels, 2))
    assert (len(data.test), data.notes["skipped"]) == (10, 2)


MEASURED = """
import os, sys
from study.data.image_folder import ImageFolder
import joblib

def peak():
    return int(next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]) * 1024

before = peak()
data = ImageFolder(root=sys.argv[1], image_size=512).load()
print((peak() - before) / (data.train.nbytes + data.test.nbytes))
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/status"), reason="the peak is Linux's")
def test_decoding_takes_less_memory_than_what_it_makes(image_files: MakeFiles, write_folder: Write) -> None:
    root = write_folder(image_files(count=40))  # of 120 MiB when decoded
    ran = subprocess.run(
        [sys.executable, "-c", MEASURED, str(root)],
        cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert float(ran.stdout) < 0.5


def test_progress_is_told_of_what_takes_long(
    image_files: MakeFiles, write_folder: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    ticks = iter(range(0, 10_000, 20))
    monkeypatch.setattr(decoding.time, "monotonic", lambda: float(next(ticks)))
    source(write_folder(image_files())).load()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "decoding images: 2 of 12, 0 a second, 3.3 min left"
    assert len(lines) == 6


def test_a_full_disk_is_said_and_left_as_it_was(
    image_files: MakeFiles, write_folder: Write, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(decoding.os, "pwrite", lambda *_: 100)
    with pytest.raises(OSError, match=r"no space is left for decoded data in .*; free some, or set STUDY_CACHE"):
        source(write_folder(image_files())).load()
    assert list((tmp_path / "cache" / "data").glob("*.building")) == []
    opened = [os.readlink(link) for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    assert [path for path in opened if str(tmp_path) in path] == [], "a deleted file takes room until it is closed"
