import io
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from PIL import Image

from study.data.image_folder import ImageFolder
from tests.data.conftest import image_bytes
from tests.data.odd_images import encoded, jpeg
from tests.data.odd_layouts import flat, table, tiny_imagenet

Files = dict[str, bytes]
MakeFiles = Callable[..., Files]
Write = Callable[..., Path]


def load(root: Path, **parameters: object) -> ImageFolder:
    return ImageFolder(root=str(root), **({"validation_size": 0} | parameters))


def test_pixels_and_labels_come_out_as_they_went_in(image_files: MakeFiles, write_folder: Write) -> None:
    files = image_files()
    data = load(write_folder(files)).load()
    assert data.classes == ("cat", "dog")
    for split, name in ((data.train, "train"), (data.test, "test")):
        np.testing.assert_array_equal(split.labels, [0, 0, 0, 1, 1, 1])
        paths = [f"{name}/{label}/{i}.png" for label in ("cat", "dog") for i in range(3)]
        for pixels, path in zip(split.inputs, paths, strict=True):
            np.testing.assert_array_equal(pixels, np.asarray(Image.open(io.BytesIO(files[path]))))


def test_folder_and_archives_with_and_without_a_top_folder_hold_the_same(
    image_files: MakeFiles, write_folder: Write, write_tar: Write
) -> None:
    files = image_files() | {"README.md": b"about", "classes.tsv": b"n01\tcat"}
    roots = [write_folder(files), write_folder({f"top/{path}": content for path, content in files.items()}, "other")]
    roots += [write_tar(files), write_tar(files, "b.tar.xz", top="my-images/"), write_tar(files, "c.tar", top="./")]
    assert len({load(root).load().digest for root in roots}) == 1


def test_the_test_split_is_test_or_else_val_or_what_it_is_said_to_be(
    image_files: MakeFiles, write_folder: Write
) -> None:
    val = load(write_folder(image_files(splits=("train", "val")), "a")).load()
    both = load(write_folder(image_files(splits=("train", "test", "val")), "b"))
    assert len(val.test) == 6
    named = load(write_folder(image_files(splits=("learn", "check")), "c"), train_split="learn", test_split="check")
    assert named.load().digest == val.digest
    assert both.load().digest == val.digest  # its test split has the numbers that val has there
    assert load(Path(both.root), test_split="val").load().digest != val.digest


def test_other_files_and_hidden_ones_are_left_out(image_files: MakeFiles, write_tar: Write) -> None:
    files = image_files()
    clutter = {"train/cat/Thumbs.db": b"x", "train/cat/._0.png": b"x", ".DS_Store": b"x", "train/list.txt": b"x"}
    assert load(write_tar(files)).load().digest == load(write_tar(files | clutter, "b.tar")).load().digest


def test_images_in_a_folder_below_their_class_are_its_images(image_files: MakeFiles, write_folder: Write) -> None:
    nested = {path.replace("cat/", "cat/images/"): content for path, content in image_files().items()}
    assert load(write_folder(nested)).load().shape.train == 6


@pytest.fixture
def damaged(image_files: MakeFiles) -> Files:
    return image_files() | {"train/cat/7.jpg": jpeg()[:-400], "test/dog/9.png": b"no image"}


def test_unreadable_images_are_named_and_counted_before_anything_is_trained(damaged: Files, write_tar: Write) -> None:
    source = load(write_tar(damaged))
    message = r"unreadable images, 2 of them: test/dog/9.png \(.*\), train/cat/7.jpg \(.*truncated.*skip_unreadable"
    source.check()
    with pytest.raises(ValueError, match=message):
        source.load()


def test_unreadable_images_are_skipped_only_if_asked_and_noted(damaged: Files, write_tar: Write) -> None:
    data = load(write_tar(damaged), skip_unreadable=True).load()
    assert (len(data.train), len(data.test)) == (6, 6)
    assert data.notes["skipped"] == 2
    assert data.notes["skipped_files"] == ["test/dog/9.png", "train/cat/7.jpg"]


def test_many_unreadable_images_are_named_in_part(image_files: MakeFiles, write_tar: Write) -> None:
    bad = {f"train/cat/bad{i:02}.png": b"" for i in range(25)}
    with pytest.raises(ValueError, match=r"25 of them: train/cat/bad00.png .* and 15 more; repair"):
        load(write_tar(image_files() | bad)).load()


def test_unreadable_images_of_a_split_that_is_not_used_do_not_matter(image_files: MakeFiles, write_tar: Write) -> None:
    files = image_files(splits=("train", "test", "val")) | {"val/cat/bad.png": b""}
    assert load(write_tar(files)).load().notes["skipped"] == 0


def test_a_class_folder_without_images_is_named(image_files: MakeFiles, write_folder: Write) -> None:
    root = write_folder(image_files() | {"train/emu/notes.txt": b""})
    (root / "test" / "emu").mkdir()
    with pytest.raises(
        ValueError,
        match=r"has class folders without readable images: train/emu, test/emu \(other files: 1 of .txt\); fill",
    ):
        load(root).check()


def test_a_class_whose_images_were_all_skipped_is_named(image_files: MakeFiles, write_tar: Write) -> None:
    files = image_files() | {"train/emu/0.png": b"", "test/emu/0.png": jpeg()}
    with pytest.raises(ValueError, match=r"without readable images: train/emu; fill"):
        load(write_tar(files), skip_unreadable=True).check()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"train": ("cat", "dog"), "test": ("cat",)}, "classes that differ between its splits: dog in train only"),
        ({"train": ("cat",), "test": ("cat", "emu")}, "emu in test only"),
        ({"train": ("cat",)}, "no split test in <split>/<class>/<image> layout; set data.root"),
        ({"test": ("cat",)}, "no split train in"),
        ({"learn": ("cat",)}, "no split train and no split test in"),
        ({"a/train": ("cat",), "b/test": ("cat",)}, r"splits in several top folders \('a', 'b'\)"),
    ],
)
def test_another_layout_is_refused(files: dict[str, tuple[str, ...]], message: str, write_folder: Write) -> None:
    root = write_folder({f"{split}/{label}/0.jpg": jpeg() for split, labels in files.items() for label in labels})
    with pytest.raises(ValueError, match=message):
        load(root).check()


def test_a_missing_root_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"image_folder needs a root: set data.root"):
        ImageFolder().check()
    with pytest.raises(FileNotFoundError, match=r"gone.tar does not exist; set data.root"):
        load(tmp_path / "gone.tar").check()


def test_parameters_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match=r"image_size must lie between 1 and 1024 pixels, not 0"):
        ImageFolder(root="x", image_size=0)
    with pytest.raises(ValueError, match=r"train_split and test_split must differ, not both be 'train'"):
        ImageFolder(root="x", test_split="train")


def test_changed_files_are_decoded_again(image_files: MakeFiles, write_folder: Write) -> None:
    root = write_folder(image_files())
    before = load(root).load().digest
    write_folder({"train/cat/new.jpg": jpeg()})
    after = load(root).load()
    assert after.digest != before
    assert len(after.train) == 7


def test_image_size_decides_the_size(image_files: MakeFiles, write_folder: Write) -> None:
    assert load(write_folder(image_files()), image_size=16).load().train.inputs.shape == (6, 16, 16, 3)


@pytest.mark.slow
def test_folders_named_by_wnid_and_a_val_split_are_read_from_the_shared_archive(shared: Path) -> None:
    data = load(shared / "tiny-imagenet-32-small.tar.xz").load()
    assert data.shape.classes == 200
    assert data.classes[0] == "n01443537"
    assert set(np.bincount(data.train.labels)) == {100}
    assert set(np.bincount(data.test.labels)) == {50}


def shape_of(root: Path, **parameters: object) -> tuple[int, int, tuple[str, ...]]:
    shape = load(root, **parameters).shape()
    return shape.train, shape.test, shape.class_names


@pytest.mark.parametrize("test", ["test", "testing", "val", "validation", "valid", "Test", "VAL", "Validation"])
@pytest.mark.parametrize("train", ["train", "Train", "TRAIN", "training"])
def test_splits_are_known_by_the_names_that_people_give_them(
    train: str, test: str, image_files: MakeFiles, write_folder: Write
) -> None:
    assert shape_of(write_folder(image_files(splits=(train, test), count=1))) == (2, 2, ("cat", "dog"))


def test_a_test_folder_without_the_classes_gives_way_to_the_next_and_that_is_said(
    image_files: MakeFiles, write_folder: Write
) -> None:
    files = image_files(splits=("train", "val")) | {f"test/images/{i}.png": image_bytes(i) for i in range(4)}
    shape = load(write_folder(files)).shape()
    assert (shape.train, shape.test) == (6, 6)
    assert shape.remarks == ("data: val is the test split: test holds no training class",)


def test_folders_beside_the_splits_are_no_data_sets(image_files: MakeFiles, write_folder: Write) -> None:
    files = image_files()
    beside = {f"{top}/{path}.txt": b"0 0.5 0.5" for top in ("labels", "annotations") for path in files}
    beside |= {f"__MACOSX/{path}": b"\0" for path in files}
    assert shape_of(write_folder(files | beside)) == (6, 6, ("cat", "dog"))
    below = {f"images/{path}": content for path, content in files.items()}
    assert shape_of(write_folder(below | beside, "below")) == (6, 6, ("cat", "dog"))


def test_class_names_are_equal_in_every_unicode_form(image_files: MakeFiles, write_folder: Write) -> None:
    files = image_files(("café", "thé"), ("train",)) | image_files(("cafe\u0301", "the\u0301"), ("test",))
    assert shape_of(write_folder(files)) == (6, 6, ("café", "thé"))
    both = files | image_files(("cafe\u0301",), ("train",))  # two folders of one class, with files of the same names
    assert shape_of(write_folder(both)) == (9, 6, ("café", "thé"))


def test_class_names_of_latin_1_and_with_control_characters_are_made_printable(
    image_files: MakeFiles, write_folder: Write
) -> None:
    shape = load(write_folder(image_files(("caf\udce9", "a\nb", "$\\frac$ <b>")))).shape()
    assert shape.class_names == ("$\\frac$ <b>", "a\\x0ab", "café")
    "".join(shape.class_names).encode()


@pytest.mark.parametrize("top", ["", "tiny-imagenet-200/"])
def test_tiny_imagenet_is_read_as_it_is_downloaded(top: str, write_folder: Write, write_tar: Write) -> None:
    files = tiny_imagenet()
    data = load(write_tar(files, top=top)).load()
    assert data.classes == ("n01443537", "n02084071")
    np.testing.assert_array_equal(data.train.labels, [0, 0, 0, 1, 1, 1])
    np.testing.assert_array_equal(data.test.labels, [0, 0, 1, 1])
    expected = [np.asarray(Image.open(io.BytesIO(files[f"val/images/val_{i}.JPEG"]))) for i in (1, 3, 0, 2)]
    np.testing.assert_array_equal(load(write_tar(files), image_size=8).load().test.inputs, expected)


def test_images_that_the_annotations_do_not_name_are_unreadable(write_tar: Write) -> None:
    files = tiny_imagenet() | {"val/images/val_9.JPEG": jpeg(8)}
    files["val/val_annotations.txt"] += b"val_8.JPEG\tn02084071\t0\t0\t8\t8\n"
    message = (
        r"2 of them: val/images/val_8.JPEG \(named in the table .* not there\), val/images/val_9.JPEG \(not in the"
    )
    with pytest.raises(ValueError, match=message):
        load(write_tar(files)).check()
    assert load(write_tar(files), skip_unreadable=True).shape().test == 4


def test_flat_folders_take_their_classes_from_a_table(write_folder: Write) -> None:
    each = flat() | {"train/metadata.csv": table(""), "test/metadata.csv": table("")}
    one = flat() | {"metadata.csv": table("train/", "test/")}
    for name, files in (("each", each), ("one", one)):
        data = load(write_folder(files, name)).load()
        assert data.classes == ("cat", "dog")
        np.testing.assert_array_equal(data.train.labels, [0, 0, 1, 1])
        np.testing.assert_array_equal(data.test.inputs[2], np.asarray(Image.open(io.BytesIO(image_bytes(5)))))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (flat(), r"has 4 images directly in train, which do not tell their classes \(there is no metadata.csv\); put"),
        (flat() | {"metadata.csv": table("train/", column="text")}, r"\(metadata.csv has no column label\); put them"),
        ({"0.png": image_bytes(0)}, r"has 1 images directly in it, which do not tell their classes"),
        (
            flat() | {"metadata.csv": table("train/", "test/") + b"\ntrain/0.png,dog"},
            "holds metadata.csv, which gives train/0.png two labels, cat and dog; keep one",
        ),
        (flat() | {"metadata.csv": b"\xff\xfe"}, r"holds metadata.csv, which is no CSV file of UTF-8 text"),
    ],
)
def test_a_flat_folder_without_classes_is_refused(files: Files, message: str, write_folder: Write) -> None:
    with pytest.raises(ValueError, match=message):
        load(write_folder(files)).check()


HOLD_OUT = {"share": 0.25, "seed": 0}


@pytest.mark.parametrize("top", ["", "flowers/"])
def test_a_folder_of_classes_is_split_on_request(top: str, image_files: MakeFiles, write_folder: Write) -> None:
    files = image_files(splits=("whole",), count=8) | {f"whole/emu/{i}.png": image_bytes(90 + i) for i in range(3)}
    root = write_folder({top + path.removeprefix("whole/"): content for path, content in files.items()})
    with pytest.raises(ValueError, match=r"but images in the folders cat, dog, emu; .*set data.test_split to {share"):
        load(root).check()
    data = load(root, test_split=HOLD_OUT).load()
    np.testing.assert_array_equal(np.bincount(data.train.labels), [6, 6, 2])
    np.testing.assert_array_equal(np.bincount(data.test.labels), [2, 2, 1])
    seen = {image.tobytes() for split in (data.train, data.test) for image in split.inputs}
    assert len(seen) == len(set(files.values())) == 19
    assert load(root, test_split=HOLD_OUT).load().digest == data.digest
    assert load(root, test_split=HOLD_OUT | {"seed": 1}).load().digest != data.digest


def test_a_share_is_held_out_of_the_training_folder_where_there_is_one(
    image_files: MakeFiles, write_folder: Write
) -> None:
    root = write_folder(image_files(splits=("train",), count=4))
    with pytest.raises(ValueError, match=r"has no split test in .*, or data.test_split to {share: 0.2, seed: 0}"):
        load(root).check()
    assert shape_of(root, test_split=HOLD_OUT) == (6, 2, ("cat", "dog"))


def test_a_class_of_one_image_cannot_be_split(image_files: MakeFiles, write_folder: Write) -> None:
    with pytest.raises(ValueError, match="has one image of class cat, which cannot be split"):
        load(write_folder(image_files(splits=("train",), count=1)), test_split=HOLD_OUT).check()


@pytest.mark.parametrize(
    "wanted", [{"share": 0.2}, {"share": 1, "seed": 0}, {"share": 0.2, "seed": -1}, {"share": 0.2, "seed": 0.5}]
)
def test_a_share_without_a_size_or_a_seed_is_refused(wanted: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=r"or a share between 0 and 1 with a whole seed, such as {share: 0.2, seed"):
        ImageFolder(root="x", test_split=wanted)


def test_an_archive_that_holds_an_image_twice_is_refused(image_files: MakeFiles, write_tar: Write) -> None:
    archive = write_tar(image_files(), "x.tar")
    with tarfile.open(archive, "a") as opened:
        member = tarfile.TarInfo("train/cat/0.png")
        member.size = len(content := jpeg())
        opened.addfile(member, io.BytesIO(content))
    with pytest.raises(ValueError, match=r"x.tar holds train/cat/0.png twice; pack it without doubles, or set data.ro"):
        load(archive).check()


def test_splits_without_images_are_refused_with_what_they_hold(write_folder: Write) -> None:
    root = write_folder({f"{split}/00000.npz": b"" for split in ("train", "test")})
    with pytest.raises(ValueError, match=r"no images in train, test \(other files: 2 of .npz\); set data.root to the"):
        load(root).check()
    for split in ("train", "test"):
        (root / split / "00000.npz").unlink()
    with pytest.raises(ValueError, match=r"no images in train, test; set data.root to the folder that holds them"):
        load(root).check()


def test_a_link_to_the_folder_above_counts_no_image_twice(image_files: MakeFiles, write_folder: Write) -> None:
    root = write_folder(image_files())
    (root / "train" / "cat" / "all").symlink_to("..")
    assert shape_of(root) == (6, 6, ("cat", "dog"))


def test_a_folder_that_links_make_two_of_is_refused(image_files: MakeFiles, write_folder: Write) -> None:
    root = write_folder(image_files())
    (root / "train" / "cat" / "more").symlink_to("../dog")
    with pytest.raises(ValueError, match=r"reads one folder as train/cat/more and as train/dog, by a link; remove"):
        load(root).check()


def test_training_images_that_are_test_images_too_are_announced(image_files: MakeFiles, write_folder: Write) -> None:
    root = write_folder(image_files(splits=("train",)))
    (root / "test").symlink_to("train")
    assert load(root).shape().remarks == ("data: 2 folders hold training and test images at once, by links",)


def test_links_that_lead_nowhere_are_named_and_skipped_if_asked(image_files: MakeFiles, write_folder: Write) -> None:
    root = write_folder(image_files())
    (root / "train" / "cat" / "gone.png").symlink_to("/nowhere/gone.png")
    (root / "test" / "emu").symlink_to("/nowhere/emu")
    with pytest.raises(
        ValueError, match=r"2 of them: test/emu \(a link to /nowhere/emu, which does not exist\), train"
    ):
        load(root).check()
    data = load(root, skip_unreadable=True).load()
    assert (len(data.train), len(data.test)) == (6, 6)
    assert data.notes["skipped_files"] == ["test/emu", "train/cat/gone.png"]
    assert data.shape.remarks == ("data: unreadable images are left out: 2",)


def test_a_split_that_is_a_link_to_nowhere_is_named(image_files: MakeFiles, write_folder: Write) -> None:
    root = write_folder(image_files(splits=("train",)))
    (root / "test").symlink_to("/nowhere")
    with pytest.raises(ValueError, match=r"no split test in .* \(test is a link to /nowhere, which does not exist\)"):
        load(root).check()


def test_jpeg_files_of_every_suffix_count_and_formats_that_are_not_read_are_named(
    image_files: MakeFiles, write_folder: Write
) -> None:
    files = image_files()
    root = write_folder(files | {f"train/cat/x{suffix}": jpeg() for suffix in (".jfif", ".jpe", ".JPG", ".jif")})
    assert load(root).shape().train == 10
    write_folder({"train/cat/x.heic": b"\0\0\0\x18ftypheic"})
    with pytest.raises(ValueError, match=r"unreadable images, 1 of them: train/cat/x.heic \(none of JPEG, PNG"):
        load(root).load()


def test_what_is_left_out_is_said(image_files: MakeFiles, write_folder: Write) -> None:
    files = image_files() | {"train/cat/a.txt": b"", "test/cat/b.txt": b"", "train/dog/README": b""}
    animated = encoded(Image.new("RGB", (8, 8)), "GIF", save_all=True, append_images=[Image.new("RGB", (8, 8), "red")])
    files |= {"train/stray.png": image_bytes(0), "train/cat/a.gif": animated}
    source = load(write_folder(files))
    listed = (
        "data: images outside class folders are left out: 1",
        "data: files that are no images are left out: 2 of .txt, 1 of no suffix",
    )
    assert source.shape().remarks == listed
    source.load()
    assert source.shape().remarks == (*listed, "data: of files with several frames the first frame is taken: 1")


@pytest.mark.parametrize("keep", ["pixels", "encoded"])
def test_test_images_that_are_training_images_are_said(
    image_files: MakeFiles, write_folder: Write, keep: Literal["pixels", "encoded"]
) -> None:
    files = image_files()
    copied = {f"test/dog/copy-{number}.png": files[f"train/dog/{number}.png"] for number in (0, 2)}
    source = load(write_folder(files | copied), keep=keep)
    source.load()
    assert "data: test images that are training images as well: 2; remove them" in source.shape().remarks
