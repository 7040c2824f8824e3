"""From the bytes of an image file to RGB of 8 bits, whatever its pixels are; what has no known range is refused."""

import io
import warnings
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("JPEG", "PNG", "BMP", "GIF", "PPM", "TIFF", "WEBP")
_READ = ".jpg .jpeg .jpe .jif .jfif .png .apng .bmp .gif .ppm .pgm .pbm .pnm .pfm .tif .tiff .webp"
_NOT_READ = ".heic .heif .avif .jp2 .j2k .jxl .svg .tga .ico .psd .exr .hdr .dds .dng .cr2 .nef .arw .dcm .eps"
SUFFIXES = frozenset(f"{_READ} {_NOT_READ}".split())
"""Of image files. Those of formats that are not read are in it, so that such files are named and not passed over."""

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""Operation that makes an image upright, by its EXIF orientation."""
_ORIENTATION, _BITS, _PHOTOMETRIC, _SAMPLE_FORMAT = 274, 258, 262, 339
"""TIFF tags, EXIF's too."""
_WHITE_IS_ZERO, _SIGNED = 0, 2


class UnreadableImage(ValueError):
    """The bytes are no whole image of a known format and range."""


def decode_image(content: bytes, size: int | tuple[int, int]) -> tuple[np.ndarray, bool]:
    """RGB uint8 of an image file, and whether it holds more frames than this first one.

    [size, size, 3], or [H, W, 3] for a size (H, W).
    Upright by its EXIF orientation, and on white where it is transparent; of an image of another size the centre
    square, resized (bicubic, anti-aliased). Pixels of more than 8 bits are scaled by the range of their type:
    0 … 65,535 of 16 bits, 0 … 4,095 of a TIFF of 12 bits, 0 … 1 of floats. Raises UnreadableImage for what is no whole
    image, or has no known range.
    """
    image, several = upright(content)
    return fitted(image, size), several


def upright(content: bytes) -> tuple[Image.Image, bool]:
    """An image file at its own size, upright, RGB; and whether it holds more frames. As `decode_image` has it."""
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as file:
            image = _upright(file)
            several = file.format != "MPO" and getattr(file, "is_animated", False)  # a telephone's photographs are MPO
    except UnreadableImage:
        raise
    except Image.DecompressionBombError as error:
        raise UnreadableImage(f"more than {2 * (Image.MAX_IMAGE_PIXELS or 0):,} pixels: scale it down") from error
    except UnidentifiedImageError as error:  # its message is an address in memory
        kind = "a TIFF of a kind that is not read: save it with 8 bits" if content[:2] in (b"II", b"MM") else ""
        kind = kind if content else "a file of no bytes"
        raise UnreadableImage(kind or f"none of {', '.join(FORMATS)}") from error
    except Exception as error:  # Pillow's decoders raise of many kinds on damaged files
        raise UnreadableImage(str(error) or type(error).__name__) from error
    return image, several


def short_side(content: bytes) -> int:
    """Pixels of the shorter side of an image file, by its head; 0 where it tells none."""
    with (
        warnings.catch_warnings(action="ignore"),
        suppress(Exception),
        Image.open(io.BytesIO(content), formats=FORMATS) as file,
    ):
        return min(file.size)
    return 0


def as_decoded(file: Image.Image, size: int | tuple[int, int]) -> np.ndarray:
    """RGB uint8 of an image of Pillow, as `decode_image` has it; raises UnreadableImage for what has no known range."""
    return fitted(_upright(file), size)


def _upright(file: Image.Image) -> Image.Image:
    file.load()
    turn = _turn(file)
    image = _in_rgb(file)
    return image.transpose(turn) if turn is not None else image


def fitted(image: Image.Image, size: int | tuple[int, ...]) -> np.ndarray:
    """The centre of an image at a size, uint8 [H, W, 3]: bicubic, anti-aliased, where it has another."""
    height, width = (size, size) if isinstance(size, int) else size
    if image.size != (width, height):
        image = ImageOps.fit(image, (width, height), Image.Resampling.BICUBIC)
    return np.asarray(image)


def _turn(file: Image.Image) -> Image.Transpose | None:
    """The turn that makes it upright; None where it is, where that is unknown, and where EXIF data are damaged."""
    try:
        return _TURNS.get(file.getexif().get(_ORIENTATION, 1))
    except Exception:  # of many kinds; the pixels are whole
        return None


def _in_rgb(file: Image.Image) -> Image.Image:
    tags: Mapping[int, Any] = getattr(file, "tag_v2", {})
    bits = max(tags.get(_BITS, (0,)))
    if _SIGNED in tags.get(_SAMPLE_FORMAT, ()) and bits <= 16:
        raise UnreadableImage(_no_range(f"signed pixels of {bits} bits"))
    if file.mode in ("I", "F") or file.mode.startswith("I;"):
        return Image.fromarray(_eight_bits(file, tags)).convert("RGB")
    if not file.has_transparency_data:
        return file if file.mode == "RGB" else file.convert("RGB")
    drawing = file.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", drawing.size, "white"), drawing).convert("RGB")


def _eight_bits(file: Image.Image, tags: Mapping[int, Any]) -> np.ndarray:
    """Grey uint8 [H, W] of one channel of 12 or 16 bits, of whole numbers of 32 bits, or of floats."""
    values = np.asarray(file)
    limit = {"I": 65_535, "F": 1}.get(file.mode) or 2 ** max(tags.get(_BITS, (16,))) - 1
    low, high = values.min(), values.max()
    if not (low >= 0 and high <= limit):  # neither holds of NaN
        raise UnreadableImage(_no_range(f"{values.dtype} pixels from {low:g} to {high:g}"))
    if file.mode == "I" and file.format == "TIFF" and 0 < high < 256:  # 8 bits in a wide file, or nearly black
        raise UnreadableImage(_no_range(f"{values.dtype} pixels up to {high}"))
    grey = np.rint(values * (255 / limit)).astype(np.uint8)
    if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
        grey = 255 - grey
    grey[values == file.info.get("transparency", -1)] = 255
    return grey


def _no_range(pixels: str) -> str:
    return f"{pixels}: their range is not known; save it with 8 or 16 bits, or as floats in 0 … 1"
