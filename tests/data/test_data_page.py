"""The tables of docs/data.md, made by what is found here: `make test-data` renews them."""

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study.data.image_folder import ImageFolder
from study.data.pixels import UnreadableImage, decode_image
from study.semantics import UnresolvedClasses, classes, synsets_of
from tests.data.odd_images import RAMP, RAMPS, encoded, png, tiff
from tests.data.odd_layouts import LAYOUTS, write
from tests.data.page import renew, told


def flat(mode: str, form: str, colour: object = (200, 30, 60), **options: object) -> bytes:
    image = Image.new("RGB", (8, 8), colour)
    return encoded(image.quantize() if mode == "P" else image.convert(mode), form, **options)


def clear(mode: str, form: str, colour: object) -> bytes:
    return encoded(Image.new(mode, (8, 8), colour), form)


def lying(orientation: int) -> bytes:
    """Three rows of black above five of white, tagged."""
    exif = Image.Exif()
    exif[274] = orientation
    rows = np.repeat(np.array([0, 255], np.uint8), [3, 5])[:, None].repeat(8, axis=1)
    return encoded(Image.fromarray(rows), exif=exif)


COLOURS = {
    "colours of palette (GIF, PNG)": flat("P", "PNG"),
    "RGB (PNG, BMP, WebP, TIFF)": flat("RGB", "PNG"),
    "16-bit RGB PNG": png(8, 8, 16, 2, (np.array([200, 30, 60]) * 257).astype(">u2").tobytes() * 64),
    "CMYK (JPEG, TIFF)": flat("CMYK", "TIFF"),
    "YCbCr (JPEG, TIFF)": flat("YCbCr", "TIFF"),
    "LAB TIFF": flat("LAB", "TIFF"),
    "RGBA, opaque": flat("RGBA", "PNG"),
}
TRANSPARENT = {
    "RGBA, transparent": clear("RGBA", "PNG", (200, 30, 60, 0)),
    "RGBA, half transparent": clear("RGBA", "PNG", (200, 30, 60, 128)),
    "grey with alpha, transparent": clear("LA", "PNG", (200, 0)),
    "palette with a transparent colour": flat("P", "PNG", transparency=0),
}
REFUSED = {
    "float TIFF in 0 … 255": encoded(Image.fromarray((255 * RAMP).astype(np.float32)), "TIFF"),
    "float TIFF in -1 … 1": encoded(Image.fromarray((2 * RAMP - 1).astype(np.float32)), "TIFF"),
    "32-bit TIFF up to 100,000": encoded(Image.fromarray((100_000 * RAMP).astype(np.int32)), "TIFF"),
    "32-bit TIFF up to 255": encoded(Image.fromarray((255 * RAMP).astype(np.int32)), "TIFF"),
    "signed 16-bit TIFF": tiff(8, 8, 16, bytes(128), form=2),
    "TIFF of 64-bit floats": tiff(8, 8, 64, bytes(512), form=3),
    "PNG of 20,000 × 20,000 pixels": png(20_000, 20_000, 8, 2, b""),
    "HEIC, AVIF, SVG and other formats": b"\0\0\0\x18ftypheic",
}


def read(content: bytes, size: int = 8) -> np.ndarray | str:
    try:
        return decode_image(content, size)[0]
    except UnreadableImage as error:
        return f"refused: {error}"


def files() -> Iterator[tuple[str, str]]:
    for name, content in RAMPS.items():
        found = read(content, 64)
        assert isinstance(found, np.ndarray), found
        yield f"black to white: {name}", f"{found.min()} … {found.max()}, mean {found.mean():.1f}"
    for name, content in (COLOURS | TRANSPARENT).items():
        found = read(content)
        assert isinstance(found, np.ndarray), found
        before = "200, 30, 60: " if name in COLOURS else ""
        yield before + name, ", ".join(map(str, found[0, 0]))
    yield from ((name, str(read(content))) for name, content in REFUSED.items())
    for orientation in (1, 6):
        found = read(lying(orientation))
        side = {True: "above", False: "on the right"}[not found[0].any()]
        yield f"EXIF orientation {orientation}, black above in the file", f"black {side}"


def layouts(folder: Path) -> Iterator[tuple[str, str]]:
    for number, (name, layout) in enumerate(LAYOUTS.items()):
        root = write(layout, folder / f"{number}")
        source = ImageFolder(root=str(root), validation_size=0, **layout.parameters)
        try:
            shape = source.load().shape
        except ValueError as error:
            yield name, f"refused: {str(error).replace(str(root), 'it')}".replace("<", r"\<")
        else:
            found = f"{shape.classes} class{'es' * (shape.classes > 1)}, {shape.train} + {shape.test} images"
            yield name, "; ".join([found, *(remark.removeprefix("data: ") for remark in shape.remarks)])


CLASS_NAMES = ("n02084071", "N02084071", "n02085620-Chihuahua", "001.Golden_Retriever", "018.golden-retriever",
               "golden retriever", "dog.n.01", "056.dog", "001.ak47")  # fmt: skip


def class_names() -> Iterator[tuple[str, str]]:
    for name in CLASS_NAMES:
        try:
            yield f"`{name}`", synsets_of([name])[0]
        except UnresolvedClasses as error:
            reason = str(error).splitlines()[1].partition(": ")[2]
            yield f"`{name}`", f"asked for: {reason.partition(';')[0]}"


def table(name: str, head: str, rows: Iterator[tuple[str, str]]) -> str:
    lines = [f"| {left} | {right} |".replace("\n", " ") for left, right in rows]
    return "\n".join(
        [f"<!-- {name}: make test-data -->", f"| {head} |", "|---|---|", *lines, f"<!-- end of {name} -->"]
    )


@pytest.mark.parametrize("name", ["files", "layouts", "names"])
def test_the_page_tells_what_is_found(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(classes, "full", lambda: None)
    found = {
        "files": lambda: table(name, "file | what it gives", files()),
        "layouts": lambda: table(name, "what lies at the root | what it gives, training + test", layouts(tmp_path)),
        "names": lambda: table(name, "class folder | synset", class_names()),
    }[name]()
    renew(name, found, os.environ.get("DATA"))
    assert told(name) == found, "make test-data renews the table"
