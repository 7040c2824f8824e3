import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from study.data.pixels import FORMATS, UnreadableImage, decode_image
from tests.data.odd_images import RAMP, RAMPS, encoded, jpeg, png, tiff


def pixels(image: Image.Image | np.ndarray, form: str = "PNG", size: int = 64, **options: object) -> np.ndarray:
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    return decode_image(encoded(image, form, **options), size)[0]


def expect_ramp(found: np.ndarray) -> None:
    assert found.shape == (64, 64, 3)
    assert abs(found.mean() - 127.5) < 1
    np.testing.assert_allclose(found[..., 0], 255 * RAMP, atol=1)
    assert np.ptp(found, axis=2).max() == 0


@pytest.mark.parametrize("kind", RAMPS)
def test_a_ramp_over_the_range_of_its_type_is_a_ramp_over_8_bits(kind: str) -> None:
    expect_ramp(decode_image(RAMPS[kind], 64)[0])


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
