"""Folders of images as people have them, made here: path → bytes, and links."""

import io
import json
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
from PIL import Image
from pyarrow.parquet import write_table

from tests.data.conftest import image_bytes
from tests.data.odd_images import encoded, jpeg

Files = dict[str, bytes]


def images(*folders: str, count: int = 2, first: int = 0) -> Files:
    """Small images, each another; of others than those made with a first number that lies far from it."""
    names = [f"{folder}/{i}.png" for folder in folders for i in range(count)]
    return {name: image_bytes(seed, (8, 8)) for seed, name in enumerate(names, first)}


def splits(train: str = "train", test: str = "test", classes: tuple[str, ...] = ("cat", "dog")) -> Files:
    return images(*(f"{split}/{label}" for split in (train, test) for label in classes))


def tiny_imagenet() -> Files:
    """As it is downloaded, in small."""
    files = {f"train/{name}/images/{name}_{i}.JPEG": jpeg(8) for name in ("n01443537", "n02084071") for i in range(3)}
    files |= {f"train/{name}/{name}_boxes.txt": b"x 0 0 8 8" for name in ("n01443537", "n02084071")}
    files |= {f"val/images/val_{i}.JPEG": image_bytes(9 + i, (8, 8), "JPEG") for i in range(4)}
    rows = "".join(f"val_{i}.JPEG\t{('n02084071', 'n01443537')[i % 2]}\t0\t0\t8\t8\n" for i in range(4))
    files |= {f"test/images/test_{i}.JPEG": jpeg(8) for i in range(5)}
    return files | {"val/val_annotations.txt": rows.encode(), "wnids.txt": b"n01443537\nn02084071\n", "words.txt": b""}


def flat(count: int = 4) -> Files:
    names = [f"{split}/{i}.png" for split in ("train", "test") for i in range(count)]
    return {name: image_bytes(seed) for seed, name in enumerate(names)}


def table(*splits: str, count: int = 4, column: str = "label") -> bytes:
    rows = [f"{split}{i}.png,{('cat', 'dog')[i % 2]}" for split in splits for i in range(count)]
    return "\n".join([f"file_name,{column}", *rows]).encode()


def _tar(members: Files) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return buffer.getvalue()


def shard(start: int, count: int = 4) -> bytes:
    """Samples of WebDataset, of two classes in turn."""
    kinds = [
        ({"cls": str(i % 2).encode(), "png": image_bytes(i, (8, 8))}, f"{i:06}") for i in range(start, start + count)
    ]
    return _tar({f"{key}.{kind}": content for sample, key in kinds for kind, content in sample.items()})


def images_table(start: int, count: int = 4) -> pa.Table:
    """As Hugging Face has it, of two classes in turn."""
    cells = [{"bytes": image_bytes(i, (8, 8)), "path": None} for i in range(start, start + count)]
    kinds = pa.schema([("image", pa.struct([("bytes", pa.binary()), ("path", pa.string())])), ("label", pa.int64())])
    told = json.dumps({"info": {"features": FEATURES}}).encode()
    labels = [i % 2 for i in range(start, start + count)]
    return pa.table({"image": cells, "label": labels}, schema=kinds).replace_schema_metadata({b"huggingface": told})


FEATURES = {"image": {"_type": "Image"}, "label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}


def parquet(start: int, **columns: pa.Array) -> bytes:
    """A table as Hugging Face has it; with other columns, one without its description."""
    found, buffer = images_table(start), io.BytesIO()
    for name, column in columns.items():
        found = found.set_column(found.column_names.index(name), name, column).replace_schema_metadata(None)
    write_table(found, buffer)
    return buffer.getvalue()


def tables(**columns: pa.Array) -> Files:
    return {f"{split}.parquet": parquet(start, **columns) for split, start in (("train", 0), ("test", 4))}


def saved_by_hugging_face(**splits: int) -> Files:
    """As `DatasetDict.save_to_disk` writes it."""
    files = {"dataset_dict.json": json.dumps({"splits": list(splits)}).encode()}
    for split, start in splits.items():
        buffer = io.BytesIO()
        table = images_table(start)
        with pa.ipc.new_stream(buffer, table.schema) as stream:
            stream.write_table(table)
        state = {"_data_files": [{"filename": "data-00000-of-00001.arrow"}], "_fingerprint": split, "_split": split}
        state |= {"_format_columns": None, "_format_kwargs": {}, "_format_type": None, "_output_all_columns": False}
        files[f"{split}/data-00000-of-00001.arrow"] = buffer.getvalue()
        files[f"{split}/state.json"] = json.dumps(state).encode()
        files[f"{split}/dataset_info.json"] = json.dumps({"features": FEATURES}).encode()
    return files


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
_NFD = images("train/café", "test/cafe\u0301")
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
    "shards of WebDataset: `train-0000.tar`, `train-0001.tar`, `val-0000.tar`": Layout(
        {"train-0000.tar": shard(0), "train-0001.tar": shard(4), "val-0000.tar": shard(8)}
    ),
    "shards `shards-0000.tar` …, with `test_split: {share: 0.2, seed: 0}`": Layout(
        {"shards-0000.tar": shard(0), "shards-0001.tar": shard(4, 6)}, parameters=_HOLD_OUT
    ),
    "shards in folders: `train/00000.tar`, `test/00000.tar`": Layout(
        {f"{split}/00000.tar": shard(start) for split, start in (("train", 0), ("test", 4))}
    ),
    "parquet: `data/train-00000-of-00001.parquet`, `data/test-00000-of-00001.parquet`": Layout(
        {f"data/{split}-00000-of-00001.parquet": parquet(start) for split, start in (("train", 0), ("test", 4))}
    ),
    "parquet whose labels are categories": Layout(tables(label=pa.array(["cat", "dog"] * 2).dictionary_encode())),
    "parquet whose labels are booleans, or whole numbers as floats": Layout(tables(label=pa.array([0.0, 1.0] * 2))),
    "parquet with a row without a label": Layout(tables(label=pa.array([0.0, 1.0, 0.0, None]))),
    "parquet of the images' paths": Layout(tables(image=pa.array([f"{i}.png" for i in range(4)]))),
    "parquet of several languages: `en/train.parquet`, `fr/train.parquet` …": Layout(
        {f"{language}/{path}": content for language in ("en", "fr") for path, content in tables().items()}
    ),
    "a data set of Hugging Face saved to disk": Layout(saved_by_hugging_face(train=0, test=4)),
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
    "a link that leads back to itself": Layout(splits(), {"train/cat/a.png": "a.png"}),
    "a link to an image that is gone, with `skip_unreadable: true`": Layout(
        splits(), {"train/cat/gone.png": "/nowhere.png"}, parameters={"skip_unreadable": True}
    ),
    "an image that is cut off, with `skip_unreadable: true`": Layout(
        splits() | _CUT, parameters={"skip_unreadable": True}
    ),
    "also a `.jfif` file and a `.JPG` file": Layout(splits() | {f"train/cat/x{s}": jpeg() for s in (".jfif", ".JPG")}),
    "also a `.heic` file": Layout(splits() | {"train/cat/x.heic": b"\0\0\0\x18ftypheic"}),
    "also `.DS_Store`, `._0.png` and `Thumbs.db`": Layout(
        splits() | {"train/.DS_Store": b"x", "train/cat/._0.png": b"x", "test/dog/Thumbs.db": b"x"}
    ),
    "names with spaces, and in Japanese": Layout(splits(classes=("golden retriever", "柴犬"))),
    "a class of one image": Layout(splits() | images("train/emu", "test/emu", count=1, first=50)),
    "a training image among the test images too": Layout(
        splits() | {"test/cat/copy.png": images("train/cat")["train/cat/1.png"]}
    ),
    "also a file of no bytes": Layout(splits() | {"train/cat/empty.png": b""}),
    "also a web page named `.jpg`": Layout(splits() | {"train/cat/page.jpg": b"<!DOCTYPE html><html>404</html>"}),
    "also a JPEG named `.png`": Layout(splits() | {"train/cat/other.png": jpeg(8)}),
    "also an archive in a class folder": Layout(splits() | {"train/cat/more.zip": b"PK"}),
    "also images of 1 × 1 and of 5,000 × 1 pixels": Layout(
        splits() | {f"train/cat/x{side}.png": encoded(Image.new("RGB", (side, 1))) for side in (1, 5000)}
    ),
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
