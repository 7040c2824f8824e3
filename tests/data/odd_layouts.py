"""Folders of images as people have them, made here: path → bytes, and links."""

import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from PIL import Image

from tests.data.conftest import image_bytes
from tests.data.odd_images import encoded, jpeg

Files = dict[str, bytes]


def images(*folders: str, count: int = 2) -> Files:
    """Small images, each another."""
    names = [f"{folder}/{i}.png" for folder in folders for i in range(count)]
    return {name: image_bytes(seed, (8, 8)) for seed, name in enumerate(names)}


def splits(train: str = "train", test: str = "test", classes: tuple[str, ...] = ("cat", "dog")) -> Files:
    return images(*(f"{split}/{label}" for split in (train, test) for label in classes))


def tiny_imagenet() -> Files:
    """As it is downloaded, in small."""
    files = {f"train/{name}/images/{name}_{i}.JPEG": jpeg(8) for name in ("n01443537", "n02084071") for i in range(3)}
    files |= {f"train/{name}/{name}_boxes.txt": b"x 0 0 8 8" for name in ("n01443537", "n02084071")}
    files |= {f"val/images/val_{i}.JPEG": image_bytes(i, (8, 8), "JPEG") for i in range(4)}
    rows = "".join(f"val_{i}.JPEG\t{('n02084071', 'n01443537')[i % 2]}\t0\t0\t8\t8\n" for i in range(4))
    files |= {f"test/images/test_{i}.JPEG": jpeg(8) for i in range(5)}
    return files | {"val/val_annotations.txt": rows.encode(), "wnids.txt": b"n01443537\nn02084071\n", "words.txt": b""}


def flat(count: int = 4) -> Files:
    return {f"{split}/{i}.png": image_bytes(i) for split in ("train", "test") for i in range(count)}


def table(*splits: str, count: int = 4, column: str = "label") -> bytes:
    rows = [f"{split}{i}.png,{('cat', 'dog')[i % 2]}" for split in splits for i in range(count)]
    return "\n".join([f"file_name,{column}", *rows]).encode()


class Layout(NamedTuple):
    """Files below a root, and how they are asked for."""

    files: Files
    links: Mapping[str, str] = {}
    archive: str = ""
    """The suffix of the archive that it is packed into."""
    parameters: Mapping[str, object] = {}


_WHOLE = {path.removeprefix("whole/"): content for path, content in images("whole/cat", "whole/dog", count=5).items()}
_HOLD_OUT = {"test_split": {"share": 0.2, "seed": 0}}
_BESIDE = {f"{top}/train/cat/0.txt": b"0 0.5" for top in ("labels", "__MACOSX")}
_NFD = images("train/café") | images("test/cafe\u0301")
_LATIN = splits(classes=("caf\udce9", "tea"))
_CUT = {"train/cat/cut.jpg": jpeg()[:-400]}

LAYOUTS = {
    "`train/<class>/`, `test/<class>/`": Layout(splits()),
    "the same in one top folder": Layout({f"top/{path}": content for path, content in splits().items()}),
    "the same as .tar": Layout(splits(), archive="tar"),
    "the same as .tar.gz": Layout(splits(), archive="tar.gz"),
    "the same as .tar.xz": Layout(splits(), archive="tar.xz"),
    "the same as .zip": Layout(splits(), archive="zip"),
    "the same as .tar.zst": Layout({}, archive="tar.zst"),
    "`Train/`, `Test/`": Layout(splits("Train", "Test")),
    "`training/`, `testing/`": Layout(splits("training", "testing")),
    "`train/`, `val/`": Layout(splits(test="val")),
    "`train/`, `validation/`": Layout(splits(test="validation")),
    "`train/`, `valid/`": Layout(splits(test="valid")),
    "`train/`, `val/`, and `test/` with unlabelled images": Layout(splits(test="val") | images("test/images")),
    "`learn/`, `check/`": Layout(splits("learn", "check")),
    "`learn/`, `check/`, with `train_split: learn`, `test_split: check`": Layout(
        splits("learn", "check"), parameters={"train_split": "learn", "test_split": "check"}
    ),
    "`train/` alone": Layout(images("train/cat", "train/dog", count=5)),
    "`train/` alone, with `test_split: {share: 0.2, seed: 0}`": Layout(
        images("train/cat", "train/dog", count=5), parameters=_HOLD_OUT
    ),
    "`<class>/`": Layout(_WHOLE),
    "`<class>/`, with `test_split: {share: 0.2, seed: 0}`": Layout(_WHOLE, parameters=_HOLD_OUT),
    "images without folders": Layout(images("train", "test")),
    "images without folders, and metadata.csv with file_name and label": Layout(
        flat() | {"metadata.csv": table("train/", "test/")}
    ),
    "images without folders, and metadata.csv without label": Layout(
        flat() | {"metadata.csv": table("train/", "test/", column="text")}
    ),
    "Tiny ImageNet as it is downloaded": Layout(tiny_imagenet()),
    "`train/<class>/more/`": Layout({path.replace("cat/", "cat/more/"): b for path, b in splits().items()}),
    "`labels/` and `__MACOSX/` beside the splits": Layout(splits() | _BESIDE),
    "splits in two top folders": Layout({f"{top}/{path}": b for top in "ab" for path, b in splits().items()}),
    "classes that differ": Layout(splits() | images("train/emu")),
    "an empty class folder": Layout(splits() | {"train/emu/notes.txt": b"", "test/emu/notes.txt": b""}),
    "é composed in one split, decomposed in the other": Layout(_NFD),
    "a class folder named in Latin-1": Layout(_LATIN),
    "a link from a class folder to the folder above": Layout(splits(), {"train/cat/all": ".."}),
    "a link from a class folder to another": Layout(splits(), {"train/cat/more": "../dog"}),
    "a link to an image that is gone": Layout(splits(), {"train/cat/gone.png": "/nowhere.png"}),
    "the same, with `skip_unreadable: true`": Layout(
        splits(), {"train/cat/gone.png": "/nowhere.png"}, parameters={"skip_unreadable": True}
    ),
    "an image that is cut off, with `skip_unreadable: true`": Layout(
        splits() | _CUT, parameters={"skip_unreadable": True}
    ),
    "also a `.jfif` file and a `.JPG` file": Layout(splits() | {f"train/cat/x{s}": jpeg() for s in (".jfif", ".JPG")}),
    "also a `.heic` file": Layout(splits() | {"train/cat/x.heic": b"\0\0\0\x18ftypheic"}),
    "also a `.txt` file": Layout(splits() | {"train/cat/x.txt": b""}),
    "also an animated GIF": Layout(
        splits()
        | {
            "test/cat/x.gif": encoded(
                Image.new("L", (8, 8)), "GIF", save_all=True, append_images=[Image.new("L", (8, 8), 9)]
            )
        }
    ),
}


def write(layout: Layout, root: Path) -> Path:
    """Write the layout below a folder, or pack it; the root to give to a study."""
    for path, content in layout.files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    for path, target in layout.links.items():
        (root / path).symlink_to(target)
    return _packed(root, layout.archive) if layout.archive else root


def _packed(folder: Path, suffix: str) -> Path:
    archive = folder.with_name(f"{folder.name}.{suffix}")
    if suffix == "tar.zst":
        archive.write_bytes(b"\x28\xb5\x2f\xfd")
    elif suffix == "zip":
        with zipfile.ZipFile(archive, "w") as packed:
            for file in sorted(folder.rglob("*")):
                packed.write(file, file.relative_to(folder))
    else:
        with tarfile.open(archive, f"w:{suffix.removeprefix('tar').lstrip('.')}") as packed:
            packed.add(folder, ".")
    return archive
