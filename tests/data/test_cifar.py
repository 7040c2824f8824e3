import hashlib
import http.server
import io
import json
import pickle
import tarfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from study.data.cifar import CIFAR10_CLASSES, CIFAR100_CLASSES, CIFAR100_SUPERCLASSES, Cifar10, Cifar100

Files = dict[str, bytes]


def test_the_superclasses_are_those_of_the_shared_table(shared: Path) -> None:
    table = json.loads((shared / "cifar100_coarse.json").read_text())
    assert table["fine_to_coarse"] == {n: s for s, names in CIFAR100_SUPERCLASSES.items() for n in names}
    assert table["coarse_order"] == list(CIFAR100_SUPERCLASSES)
    assert sorted(json.loads((shared / "cifar100_synsets.json").read_text())) == sorted(CIFAR100_CLASSES)


def test_images_in_folders_get_the_published_labels(
    image_files: Callable[..., Files], write_tar: Callable[..., Path]
) -> None:
    files = image_files(tuple(reversed(CIFAR10_CLASSES)), count=2)
    data = Cifar10(root=str(write_tar(files, top="cifar10-images/")), validation_size=0).load()
    assert (data.name, data.classes) == ("cifar10", CIFAR10_CLASSES)
    np.testing.assert_array_equal(data.train.labels, np.repeat(np.arange(10), 2))


@pytest.mark.parametrize("labels", ["fine", "coarse"])
def test_cifar100_is_labelled_finely_or_coarsely(
    labels: str, image_files: Callable[..., Files], write_folder: Callable[..., Path]
) -> None:
    source = Cifar100(root=str(write_folder(image_files(CIFAR100_CLASSES, count=1))), labels=labels, validation_size=0)
    data = source.load()
    assert source.shape() == data.shape
    if labels == "fine":
        np.testing.assert_array_equal(data.train.labels, np.arange(100))
    else:
        assert data.classes == tuple(CIFAR100_SUPERCLASSES)
        assert data.classes[data.train.labels[CIFAR100_CLASSES.index("sea")]] == "large_natural_outdoor_scenes"
        assert set(np.bincount(data.train.labels)) == {5}


def test_folders_of_other_classes_are_refused(
    image_files: Callable[..., Files], write_folder: Callable[..., Path]
) -> None:
    root = write_folder(image_files((*CIFAR10_CLASSES[:9], "zebra")))
    with pytest.raises(ValueError, match=r"does not hold the classes of cifar10; these differ: truck, zebra"):
        Cifar10(root=str(root)).check()


def test_missing_data_is_refused_with_the_ways_to_get_it(tmp_path: Path) -> None:
    for source in (Cifar10(), Cifar10(root=str(tmp_path / "gone.tar.xz"))):
        for refuse in (source.check, source.load):
            with pytest.raises(FileNotFoundError, match=r"no cifar-10-batches-py or .* set data.root .*data.download"):
                refuse()


def test_label_sets_that_do_not_exist_are_refused() -> None:
    with pytest.raises(ValueError, match='labels must be "fine" or "coarse", not \'rough\''):
        Cifar100(labels="rough")


@pytest.mark.slow
def test_the_shared_archive_is_cifar10(shared: Path) -> None:
    data = Cifar10(root=str(shared / "cifar10-images.tar.xz")).load()
    np.testing.assert_array_equal(np.bincount(data.train.labels), [5000] * 10)
    np.testing.assert_array_equal(np.bincount(data.test.labels), [1000] * 10)
    means = data.train.inputs[::50].mean(axis=(0, 1, 2)) / 255
    np.testing.assert_allclose(means, [0.4914, 0.4822, 0.4465], atol=0.02)  # the published means


# The published files, in small: the same layout with other bytes, served from this machine.


def batch(seed: int, count: int, key: str, classes: int) -> bytes:
    generator = np.random.default_rng(seed)
    pixels = generator.integers(0, 256, (count, 3072), dtype=np.uint8)
    return pickle.dumps({"data": pixels, key: [(seed + i) % classes for i in range(count)]})


@pytest.fixture(scope="module")
def archive() -> Files:
    """Path in the archive → bytes."""
    names = [*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"]
    files = {f"cifar-10-batches-py/{n}": batch(seed, 10, "labels", 10) for seed, n in enumerate(names)}
    return files | {"cifar-10-batches-py/batches.meta": pickle.dumps({"label_names": list(CIFAR10_CLASSES)})}


class Server(http.server.ThreadingHTTPServer):
    """Serves one archive and counts the requests."""

    content: bytes
    requests = 0
    cut: int | None = None
    """Bytes after which the line breaks."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/cifar-10-python.tar.gz"


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests += 1
        self.send_response(200)
        self.send_header("Content-Length", str(len(self.server.content)))
        self.end_headers()
        self.wfile.write(self.server.content[: self.server.cut])

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def published(archive: Files, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    from torchvision import datasets

    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for path, content in archive.items():
            member = tarfile.TarInfo(path)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    md5 = {path.rpartition("/")[2]: hashlib.md5(content).hexdigest() for path, content in archive.items()}
    with Server(("127.0.0.1", 0), Handler) as server:
        server.content = buffer.getvalue()
        threading.Thread(target=server.serve_forever, daemon=True).start()
        reader = datasets.CIFAR10
        monkeypatch.setattr(reader, "url", server.url)
        monkeypatch.setattr(reader, "tgz_md5", hashlib.md5(server.content).hexdigest())
        monkeypatch.setattr(reader, "meta", reader.meta | {"md5": md5["batches.meta"]})
        for name in ("train_list", "test_list"):
            monkeypatch.setattr(reader, name, [[file, md5[file]] for file, _ in getattr(reader, name)])
        yield server
        server.shutdown()


# Python 3.12 and 3.13 announce the default of 3.14 for torchvision's call; the archive's checksum is known by then.
pytestmark = pytest.mark.filterwarnings("ignore:Python 3.14 will, by default, filter:DeprecationWarning")


def expect_whole(data: Any, archive: Files) -> None:
    assert (len(data.train), len(data.test), data.classes) == (50, 10, CIFAR10_CLASSES)
    first = pickle.loads(archive["cifar-10-batches-py/data_batch_1"])
    np.testing.assert_array_equal(data.train.inputs[3, :, :, 0].ravel(), first["data"][3][:1024])
    np.testing.assert_array_equal(data.train.labels[:10], first["labels"])


def test_a_download_is_fetched_once_and_needed_no_more(published: Server, archive: Files, tmp_path: Path) -> None:
    source = Cifar10(root=str(tmp_path / "data"), download=True, validation_size=0)
    assert source.shape().train == 50_000
    expect_whole(source.load(), archive)
    requests = published.requests
    assert requests > 0
    expect_whole(source.load(tmp_path / "another node"), archive)
    expect_whole(Cifar10(root=str(tmp_path / "data"), validation_size=0).load(tmp_path / "a third"), archive)
    assert published.requests == requests


def test_an_interrupted_download_is_repaired(published: Server, archive: Files, tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(published.content[:1000])
    expect_whole(Cifar10(root=str(tmp_path), download=True, validation_size=0).load(), archive)


def test_a_line_that_breaks_is_named_and_the_next_try_gets_the_whole(
    published: Server, archive: Files, tmp_path: Path
) -> None:
    published.cut = 1000
    with pytest.raises(ValueError, match=r"cifar10 in .* is not usable"):
        Cifar10(root=str(tmp_path), download=True, validation_size=0).load()
    published.cut = None
    expect_whole(Cifar10(root=str(tmp_path), download=True, validation_size=0).load(), archive)


def test_nodes_that_start_at_once_fetch_it_once(published: Server, archive: Files, tmp_path: Path) -> None:
    """Three caches, as of three nodes, over one shared root."""
    Cifar10(root=str(tmp_path / "alone"), download=True, validation_size=0).load(tmp_path / "node")
    alone, published.requests = published.requests, 0
    source = Cifar10(root=str(tmp_path / "data"), download=True, validation_size=0)
    with ThreadPoolExecutor(3) as pool:
        loaded = list(pool.map(lambda node: source.load(tmp_path / f"node {node}"), range(3)))
    for data in loaded:
        expect_whole(data, archive)
    assert published.requests == alone


@pytest.mark.parametrize("named", ["folder", "archive itself"])
def test_an_archive_at_hand_is_unpacked_without_a_network(
    named: str, published: Server, archive: Files, tmp_path: Path
) -> None:
    file = tmp_path / "cifar-10-python.tar.gz"
    file.write_bytes(published.content)
    expect_whole(Cifar10(root=str(tmp_path if named == "folder" else file), validation_size=0).load(), archive)
    assert published.requests == 0


def test_damaged_files_are_refused_without_download_and_repaired_with_it(
    published: Server, archive: Files, tmp_path: Path
) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"cut off")
    with pytest.raises(ValueError, match=r"cifar10 in .* is not usable .* set data.download to true"):
        Cifar10(root=str(tmp_path)).load()
    assert published.requests == 0
    expect_whole(Cifar10(root=str(tmp_path), download=True, validation_size=0).load(), archive)


@pytest.mark.parametrize("half", ["empty", "half-extracted", "archive cut off"])
def test_published_files_that_are_not_whole_are_refused_before_a_trial_starts(
    half: str, published: Server, archive: Files, tmp_path: Path
) -> None:
    folder = tmp_path / "cifar-10-batches-py"
    if half == "archive cut off":
        (tmp_path / "cifar-10-python.tar.gz").write_bytes(published.content[:1000])
    else:
        folder.mkdir()
    if half == "half-extracted":
        for path, content in list(archive.items())[:4]:
            (tmp_path / path).write_bytes(content)
    for root in (tmp_path, folder) if folder.exists() else (tmp_path,):
        with pytest.raises(ValueError, match=r"cifar10 in .* is not usable .* set data.download to true"):
            Cifar10(root=str(root)).check()
    assert published.requests == 0


def test_whole_published_files_are_told_as_they_are(published: Server, archive: Files, tmp_path: Path) -> None:
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(published.content)
    source = Cifar10(root=str(tmp_path))
    source.check()
    assert source.shape() == source.load().shape


def test_a_folder_of_neither_is_refused_with_the_names_of_both(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no split train .*read as images .* no cifar-10-batches-py or cifar-10-py"):
        Cifar10(root=str(tmp_path)).check()


def test_a_download_that_is_not_what_was_published_is_refused(published: Server, tmp_path: Path) -> None:
    published.content = b"something else"
    with pytest.raises(ValueError, match=r"cifar10 in .* is not usable"):
        Cifar10(root=str(tmp_path), download=True, validation_size=0).load()
    assert not (tmp_path / "cifar-10-batches-py").exists()


def test_an_unreachable_server_is_named(published: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from torchvision import datasets

    monkeypatch.setattr(datasets.CIFAR10, "url", "http://127.0.0.1:9/cifar-10-python.tar.gz")
    with pytest.raises(ValueError, match=r"cifar10 in .* is not usable .*refused.*put cifar-10-python.tar.gz there"):
        Cifar10(root=str(tmp_path), download=True, validation_size=0).load()
