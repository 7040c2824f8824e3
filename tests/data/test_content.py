"""Identity of images by their content."""

import os
import unicodedata
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from study.data.image_folder import ImageFolder
from study.data.images import content
from tests.data.conftest import image_bytes
from tests.data.test_files import write_zip

MakeFiles = Callable[..., dict[str, bytes]]
Write = Callable[..., Path]


def digest(root: Path, **parameters: object) -> str:
    return ImageFolder(root=str(root), **parameters).content()


def test_it_is_the_same_wherever_the_images_lie(image_files: MakeFiles, write_folder: Write, write_tar: Write) -> None:
    files = image_files()
    beside = files | {"README.md": b"about", "train/cat/.DS_Store": b"", "train/cat/notes.txt": b""}
    roots = [
        write_folder(files),
        write_folder(beside, "b"),
        write_folder({f"top/{p}": b for p, b in files.items()}, "c"),
    ]
    roots += [
        write_tar(files, "a.tar"),
        write_tar(files, "b.tar.xz", top="x/"),
        write_zip(roots[0].parent / "a.zip", files),
    ]
    roots += [write_folder({path.replace("test/", "val/"): b for path, b in files.items()}, "d")]
    assert len({digest(root) for root in roots}) == 1


def test_names_count_with_composed_characters(image_files: MakeFiles, write_folder: Write) -> None:
    """As systems that decompose them write them; in that form é goes before f, in the other after z."""
    names = {"train/cat/0.png": "train/cat/é.png", "train/cat/1.png": "train/cat/f.png"}
    files = {names.get(path, path): content for path, content in image_files().items()}
    written = [
        write_folder({unicodedata.normalize(form, path): content for path, content in files.items()}, form)
        for form in ("NFC", "NFD")
    ]
    composed, decomposed = (ImageFolder(root=root, validation_size=0) for root in written)
    assert composed.content() == decomposed.content()
    np.testing.assert_array_equal(composed.load().train.inputs[:], decomposed.decode().train.inputs[:])


def test_a_table_names_files_whose_characters_are_not_composed(write_folder: Write) -> None:
    names = {f"{split}/é{i}.png": image_bytes(i) for split in ("train", "test") for i in range(4)}
    table = "file_name,label\n" + "".join(f"é{i}.png,{'cat' if i % 2 else 'dog'}\n" for i in range(4))
    root = write_folder({unicodedata.normalize("NFD", name): content for name, content in names.items()})
    for split in ("train", "test"):
        (root / split / "metadata.csv").write_text(table)
    assert ImageFolder(root=root).available().train == 4


@pytest.mark.parametrize(
    "change",
    [
        lambda root: (root / "train/cat/0.png").unlink(),
        lambda root: (root / "train/cat/0.png").write_bytes(image_bytes(99)),
        lambda root: (root / "test/cat/0.png").rename(root / "test/cat/9.png"),
        lambda root: [
            (root / p).rename(root / q) for p, q in (("train/cat", "x"), ("train/dog", "train/cat"), ("x", "train/dog"))
        ],
        lambda root: [(root / p).rename(root / q) for p, q in (("train", "x"), ("test", "train"), ("x", "test"))],
    ],
    ids=["one removed", "one repainted", "one renamed", "two classes swapped", "splits swapped"],
)
def test_it_changes_with_the_images(
    change: Callable[[Path], object], image_files: MakeFiles, write_folder: Write
) -> None:
    root = write_folder(image_files())
    before = digest(root)
    change(root)
    assert digest(root) != before


def test_the_state_of_files_is_no_part_of_it(image_files: MakeFiles, write_folder: Write) -> None:
    root = write_folder(image_files())
    before = digest(root)
    os.utime(root / "train/cat/0.png", ns=(5, 5))
    assert digest(root) == before


def test_bytes_are_read_once_a_node_for_each_state_of_the_files(
    image_files: MakeFiles, write_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads = []
    monkeypatch.setattr(content, "_read", lambda root, files: (reads.append(len(files)) or {}, set()))
    root = write_folder(image_files())
    assert digest(root) == digest(root)
    assert reads == [12]
    os.utime(root / "train/cat/0.png", ns=(5, 5))
    digest(root)
    assert reads == [12, 12]


def test_of_a_large_set_names_sizes_and_every_nth_image_are_read(
    image_files: MakeFiles, write_folder: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = image_files(count=5)
    monkeypatch.setattr(content, "READ", sum(map(len, files.values())) // 2 - 1)  # every third
    root = write_folder(files)
    before, order = digest(root), sorted(root.glob("train/*/*")) + sorted(root.glob("test/*/*"))

    def tells(place: int, change: Callable[[bytes], bytes]) -> bool:
        there = order[place].read_bytes()
        order[place].write_bytes(change(there))
        os.utime(order[place], ns=(place, len(change(there))))
        told = digest(root) != before
        order[place].write_bytes(there)
        return told

    repainted, longer = lambda b: b[:-1] + bytes([b[-1] ^ 1]), lambda b: b + b"1"
    assert [tells(place, repainted) for place in range(6)] == [True, False, False, True, False, False]
    assert all(tells(place, longer) for place in range(6))


def test_images_that_differ_on_the_node_that_decodes_them_are_refused(
    image_files: MakeFiles, write_folder: Write, tmp_path: Path
) -> None:
    root = write_folder(image_files())
    source = ImageFolder(root=str(root), validation_size=0)
    source.content()
    (root / "train/cat/0.png").unlink()
    with pytest.raises(ValueError, match="holds other images than those that were planned with"):
        source.load()
