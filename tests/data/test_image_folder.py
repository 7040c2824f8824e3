import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study.data.image_folder import ImageFolder, UnreadableImage, decode_image

Files = dict[str, bytes]
MakeFiles = Callable[..., Files]
Write = Callable[..., Path]


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def jpeg(size: int = 64) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise), "JPEG")


def load(root: Path, **parameters: object) -> ImageFolder:
    return ImageFolder(root=str(root), **parameters)


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


def test_an_image_of_another_size_has_its_centre_square_resized() -> None:
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = (200, 100, 50)
    pixels = decode_image(encoded(Image.fromarray(wide)), 20)
    np.testing.assert_array_equal(pixels[:, 2:-2], np.broadcast_to([200, 100, 50], (20, 16, 3)))
    assert decode_image(encoded(Image.new("RGB", (5, 900))), 32).shape == (32, 32, 3)


@pytest.mark.parametrize("mode", ["L", "P", "RGBA", "LA", "CMYK", "1"])
def test_every_colour_mode_becomes_rgb(mode: str) -> None:
    form = "JPEG" if mode == "CMYK" else "PNG"
    pixels = decode_image(encoded(Image.new("RGB", (8, 8), "white").convert(mode), form), 8)
    assert pixels.shape == (8, 8, 3)
    assert pixels.min() > 250


def test_a_palette_with_transparency_is_read_without_a_warning() -> None:
    image = Image.new("P", (8, 8))
    assert decode_image(encoded(image, transparency=b"\x00\x80"), 8).shape == (8, 8, 3)


def test_postscript_is_never_interpreted() -> None:
    with pytest.raises(UnreadableImage):
        decode_image(encoded(Image.new("RGB", (8, 8)), "EPS"), 8)


@pytest.mark.parametrize("content", [jpeg()[:-400], jpeg()[:30], b"", b"no image", bytes(500)])
def test_truncated_and_foreign_bytes_are_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableImage):
        decode_image(content, 32)


@pytest.fixture
def damaged(image_files: MakeFiles) -> Files:
    return image_files() | {"train/cat/7.jpg": jpeg()[:-400], "test/dog/9.png": b"no image"}


def test_unreadable_images_are_named_and_counted_at_plan_time(damaged: Files, write_tar: Write) -> None:
    source = load(write_tar(damaged))
    message = r"unreadable images, 2 of them: test/dog/9.png \(.*\), train/cat/7.jpg \(.*truncated.*skip_unreadable"
    with pytest.raises(ValueError, match=message):
        source.check()


def test_unreadable_images_are_skipped_only_if_asked_and_noted(damaged: Files, write_tar: Write) -> None:
    data = load(write_tar(damaged), skip_unreadable=True).load()
    assert (len(data.train), len(data.test)) == (6, 6)
    assert data.notes["skipped"] == 2
    assert data.notes["skipped_files"] == ["test/dog/9.png", "train/cat/7.jpg"]


def test_many_unreadable_images_are_named_in_part(image_files: MakeFiles, write_tar: Write) -> None:
    bad = {f"train/cat/bad{i:02}.png": b"" for i in range(25)}
    with pytest.raises(ValueError, match=r"25 of them: train/cat/bad00.png .* and 15 more; repair"):
        load(write_tar(image_files() | bad)).check()


def test_unreadable_images_of_a_split_that_is_not_used_do_not_matter(image_files: MakeFiles, write_tar: Write) -> None:
    files = image_files(splits=("train", "test", "val")) | {"val/cat/bad.png": b""}
    assert load(write_tar(files)).load().notes["skipped"] == 0


def test_a_class_folder_without_images_is_named(image_files: MakeFiles, write_folder: Write) -> None:
    root = write_folder(image_files() | {"train/emu/notes.txt": b""})
    (root / "test" / "emu").mkdir()
    with pytest.raises(ValueError, match=r"has class folders without readable images: train/emu, test/emu; fill"):
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


def test_what_is_said_of_a_file_that_is_no_image_is_the_same_each_time() -> None:
    said = set()
    for _ in range(2):
        with pytest.raises(UnreadableImage) as caught:
            decode_image(b"hello", 32)
        said.add(str(caught.value))
    assert said == {"none of JPEG, PNG, BMP, GIF, PPM, TIFF, WEBP"}
