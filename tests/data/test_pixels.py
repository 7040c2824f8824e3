import io
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from study.data.pixels import FORMATS, UnreadableImage, decode_image

RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)
"""From black to white; its mean in 8 bits is 127.5."""


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


def pixels(image: Image.Image | np.ndarray, form: str = "PNG", size: int = 64, **options: object) -> np.ndarray:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return decode_image(encoded(image, form, **options), size)[0]


def jpeg(size: int = 64) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size, size, 3), dtype=np.uint8)
    return encoded(Image.fromarray(noise), "JPEG")


def png(width: int, height: int, depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG of any kind, from its rows of pixels without filters."""

    def chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    stride = len(rows) // height
    lines = b"".join(b"\0" + rows[i * stride : (i + 1) * stride] for i in range(height))
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + extra + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


def tiff(width: int, height: int, bits: int, data: bytes, *, photometric: int = 1, form: int = 1) -> bytes:
    """A grey TIFF of one strip, of bits that Pillow does not write."""
    tags = [(256, 3, width), (257, 3, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric), (273, 4, 200)]
    tags += [(277, 3, 1), (278, 3, height), (279, 4, len(data)), (339, 3, form)]
    entries = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in tags)
    directory = b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4)
    return directory.ljust(200, b"\0") + data


def expect_ramp(found: np.ndarray) -> None:
    assert found.shape == (64, 64, 3)
    assert abs(found.mean() - 127.5) < 1
    np.testing.assert_allclose(found[..., 0], 255 * RAMP, atol=1)
    assert np.ptp(found, axis=2).max() == 0


RAMPS = {
    "8-bit PNG": lambda: encoded(Image.fromarray(np.rint(255 * RAMP).astype(np.uint8))),
    "16-bit PNG": lambda: encoded(Image.fromarray(np.rint(65535 * RAMP).astype(np.uint16))),
    "16-bit TIFF": lambda: encoded(Image.fromarray(np.rint(65535 * RAMP).astype(np.uint16)), "TIFF"),
    "16-bit big-endian TIFF": lambda: encoded(
        Image.frombytes("I;16B", (64, 64), np.rint(65535 * RAMP).astype(">u2").tobytes()), "TIFF"
    ),
    "16-bit PGM": lambda: encoded(Image.fromarray(np.rint(65535 * RAMP).astype(np.uint16)), "PPM"),
    "12-bit PGM": lambda: b"P5 64 64 4095\n" + np.rint(4095 * RAMP).astype(">u2").tobytes(),
    "12-bit TIFF": lambda: tiff(64, 64, 12, twelve_bits(np.rint(4095 * RAMP).astype(int))),
    "16-bit TIFF, white is 0": lambda: tiff(
        64, 64, 16, np.rint(65535 * (1 - RAMP)).astype("<u2").tobytes(), photometric=0
    ),
    "32-bit TIFF up to 65,535": lambda: encoded(Image.fromarray(np.rint(65535 * RAMP).astype(np.int32)), "TIFF"),
    "float TIFF in 0 … 1": lambda: encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"),
    "float PFM in 0 … 1": lambda: encoded(Image.fromarray(RAMP.astype(np.float32)), "PPM"),
    "16-bit RGB PNG": lambda: png(64, 64, 16, 2, np.rint(65535 * RAMP).astype(">u2").repeat(3).tobytes()),
}


def twelve_bits(values: np.ndarray) -> bytes:
    """Two values in three bytes."""
    first, second = values.ravel()[::2], values.ravel()[1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    return packed.astype(np.uint8).tobytes()


@pytest.mark.parametrize("kind", RAMPS)
def test_a_ramp_over_the_range_of_its_type_is_a_ramp_over_8_bits(kind: str) -> None:
    expect_ramp(decode_image(RAMPS[kind](), 64)[0])


@pytest.mark.parametrize(
    ("values", "named"),
    [
        (65536 * RAMP.astype(np.float32), "float32 pixels from 0 to 65536"),
        (2 * RAMP.astype(np.float32) - 1, "float32 pixels from -1 to 1"),
        (np.full((8, 8), np.nan, np.float32), "float32 pixels from nan to nan"),
        (np.full((8, 8), 65536, np.int32), "int32 pixels from 65536 to 65536"),
        (np.arange(-1, 63, dtype=np.int32).reshape(8, 8), "int32 pixels from -1 to 62"),
        (np.arange(192, 256, dtype=np.int32).reshape(8, 8), "int32 pixels up to 255"),
    ],
)
def test_pixels_without_a_known_range_are_refused(values: np.ndarray, named: str) -> None:
    with pytest.raises(UnreadableImage, match=f"{named}: their range is not known; save it with 8 or 16 bits"):
        pixels(values, "TIFF")


@pytest.mark.parametrize("bits", [8, 16])
def test_signed_pixels_are_refused(bits: int) -> None:
    with pytest.raises(UnreadableImage, match=f"signed pixels of {bits} bits: their range is not known"):
        decode_image(tiff(8, 8, bits, bytes(8 * bits), form=2), 8)


COLOURED = [("RGB", "PNG"), ("RGBA", "PNG"), ("RGBX", "TIFF"), ("CMYK", "JPEG"), ("CMYK", "TIFF"), ("YCbCr", "JPEG"),
            ("YCbCr", "TIFF"), ("LAB", "TIFF"), ("RGB", "BMP"),
            ("RGB", "WEBP"), ("P", "PNG"), ("P", "GIF")]  # fmt: skip
GREY = [("1", "PNG"), ("1", "TIFF"), ("L", "PNG"), ("L", "PPM"), ("LA", "PNG"), ("LA", "TIFF"), ("PA", "TIFF")]


@pytest.mark.parametrize(
    ("mode", "form", "colour"),
    [(*kind, c) for kind in COLOURED + GREY for c in [(255,) * 3, (0,) * 3]]
    + [(*kind, (200, 30, 60)) for kind in COLOURED],
)
def test_every_mode_that_a_file_can_have_keeps_its_colour(mode: str, form: str, colour: tuple[int, ...]) -> None:
    image = Image.new("RGB", (8, 8), colour)
    image = image.quantize() if mode == "P" else (image.convert("L") if mode in ("LA", "PA") else image).convert(mode)
    found = pixels(image, form, 8, **({"lossless": True} if form == "WEBP" else {}))
    np.testing.assert_allclose(found, np.broadcast_to(colour, (8, 8, 3)), atol=4)


def drawn_in_black() -> Image.Image:
    """Of a palette of two blacks, all in the second."""
    image = Image.new("P", (8, 8), 1)
    image.putpalette([0, 0, 0, 0, 0, 0])
    return image


@pytest.mark.parametrize(
    ("image", "options"),
    [
        (Image.new("RGBA", (8, 8), (0, 0, 0, 0)), {}),
        (Image.new("LA", (8, 8), (0, 0)), {}),
        (Image.new("L", (8, 8), 7), {"transparency": 7}),
        (Image.new("RGB", (8, 8), (1, 2, 3)), {"transparency": (1, 2, 3)}),
        (drawn_in_black(), {"transparency": b"\xff\x00"}),
        (drawn_in_black(), {"transparency": 1}),
    ],
    ids=["RGBA", "LA", "L of one", "RGB of one", "palette of several", "palette of one"],
)
def test_what_is_transparent_shows_white(image: Image.Image, options: dict[str, object]) -> None:
    assert pixels(image, size=8, **options).min() == 255


def test_what_is_half_transparent_is_mixed_with_white() -> None:
    np.testing.assert_allclose(pixels(Image.new("RGBA", (8, 8), (200, 0, 100, 128)), size=8)[0, 0], (227, 127, 177), 1)


def test_a_transparent_value_of_16_bits_shows_white() -> None:
    black = struct.pack(">I", 2) + b"tRNS\0\0" + struct.pack(">I", zlib.crc32(b"tRNS\0\0"))
    assert decode_image(png(8, 8, 16, 0, bytes(128), black), 8)[0].min() == 255


UPRIGHT = np.zeros((8, 8, 3), np.uint8)
UPRIGHT[:4, :4], UPRIGHT[:4, 4:] = 255, (255, 0, 0)
LIES = {  # how the pixels of UPRIGHT lie in a file that is tagged so: turned back by numpy, not by Pillow
    1: UPRIGHT, 2: UPRIGHT[:, ::-1], 3: UPRIGHT[::-1, ::-1], 4: UPRIGHT[::-1], 5: UPRIGHT.transpose(1, 0, 2),
    6: np.rot90(UPRIGHT, 1), 7: np.rot90(UPRIGHT, 2).transpose(1, 0, 2), 8: np.rot90(UPRIGHT, -1),
}  # fmt: skip


@pytest.mark.parametrize("form", ["PNG", "TIFF", "WEBP", "JPEG"])
@pytest.mark.parametrize("orientation", LIES)
def test_an_image_stands_upright_by_its_exif_orientation(orientation: int, form: str) -> None:
    exif = Image.Exif()
    exif[274] = orientation
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 95, "subsampling": 0}}.get(form, {})
    found = pixels(np.ascontiguousarray(LIES[orientation]), form, 8, exif=exif, **options)
    np.testing.assert_allclose(found.astype(int), UPRIGHT, atol=20 if form == "JPEG" else 0)


def test_damaged_exif_data_do_not_cost_the_image() -> None:
    assert pixels(UPRIGHT, "PNG", 8, exif=b"Exif\0\0no such header").max() == 255


@pytest.mark.parametrize("form", ["GIF", "TIFF", "PNG", "WEBP"])
def test_of_several_frames_the_first_is_taken_and_said(form: str) -> None:
    first, second = Image.new("RGB", (8, 8), "white"), Image.new("RGB", (8, 8), "black")
    found, several = decode_image(encoded(first, form, save_all=True, append_images=[second]), 8)
    assert found.min() > 250
    assert several
    assert not decode_image(encoded(first, form), 8)[1]


def test_an_image_of_another_size_has_its_centre_square_resized() -> None:
    wide = np.zeros((40, 120, 3), np.uint8)
    wide[:, 40:80] = (200, 100, 50)
    np.testing.assert_array_equal(pixels(wide, size=20)[:, 2:-2], np.broadcast_to([200, 100, 50], (20, 16, 3)))
    assert pixels(Image.new("RGB", (5, 900)), size=32).shape == (32, 32, 3)


def test_postscript_is_never_interpreted() -> None:
    with pytest.raises(UnreadableImage):
        decode_image(encoded(Image.new("RGB", (8, 8)), "EPS"), 8)


@pytest.mark.parametrize("content", [jpeg()[:-400], jpeg()[:30], b"", b"no image", bytes(500)])
def test_truncated_and_foreign_bytes_are_unreadable(content: bytes) -> None:
    with pytest.raises(UnreadableImage):
        decode_image(content, 32)


def test_what_is_said_of_a_file_that_is_no_image_is_the_same_each_time() -> None:
    said = set()
    for _ in range(2):
        with pytest.raises(UnreadableImage) as caught:
            decode_image(b"hello", 32)
        said.add(str(caught.value))
    assert said == {f"none of {', '.join(FORMATS)}"}
