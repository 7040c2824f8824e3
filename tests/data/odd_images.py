"""Image files of every kind, made here; none is kept as a file."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

RAMP = np.linspace(0, 1, 64 * 64).reshape(64, 64)
"""From black to white; its mean in 8 bits is 127.5."""


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form, **options)
    return buffer.getvalue()


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


def twelve_bits(values: np.ndarray) -> bytes:
    """Two values in three bytes."""
    first, second = values.ravel()[::2], values.ravel()[1::2]
    packed = np.stack([first >> 4, (first & 15) << 4 | second >> 8, second & 255], axis=1)
    return packed.astype(np.uint8).tobytes()


RAMPS = {
    "8-bit PNG": encoded(Image.fromarray(np.rint(255 * RAMP).astype(np.uint8))),
    "16-bit PNG": encoded(Image.fromarray(np.rint(65535 * RAMP).astype(np.uint16))),
    "16-bit TIFF": encoded(Image.fromarray(np.rint(65535 * RAMP).astype(np.uint16)), "TIFF"),
    "16-bit big-endian TIFF": encoded(
        Image.frombytes("I;16B", (64, 64), np.rint(65535 * RAMP).astype(">u2").tobytes()), "TIFF"
    ),
    "16-bit PGM": encoded(Image.fromarray(np.rint(65535 * RAMP).astype(np.uint16)), "PPM"),
    "12-bit PGM": b"P5 64 64 4095\n" + np.rint(4095 * RAMP).astype(">u2").tobytes(),
    "12-bit TIFF": tiff(64, 64, 12, twelve_bits(np.rint(4095 * RAMP).astype(int))),
    "16-bit TIFF, white is 0": tiff(64, 64, 16, np.rint(65535 * (1 - RAMP)).astype("<u2").tobytes(), photometric=0),
    "32-bit TIFF up to 65,535": encoded(Image.fromarray(np.rint(65535 * RAMP).astype(np.int32)), "TIFF"),
    "float TIFF in 0 … 1": encoded(Image.fromarray(RAMP.astype(np.float32)), "TIFF"),
    "float PFM in 0 … 1": encoded(Image.fromarray(RAMP.astype(np.float32)), "PPM"),
    "16-bit RGB PNG": png(64, 64, 16, 2, np.rint(65535 * RAMP).astype(">u2").repeat(3).tobytes()),
}
