"""Identity of images by their content: the same wherever they lie, in a folder or an archive."""

import hashlib
import json
import os
from collections.abc import Sequence
from itertools import chain
from pathlib import Path, PurePosixPath

from study.data.files import composed, entries
from study.data.images.layouts import Part
from study.data.pixels import short_side

VERSION = 2
"""To be raised when the digest changes."""
READ = 2**30
"""Bytes of images that are read for it, about."""
MEASURED = 200
"""Images whose size is looked up in the heads of their files."""


def content_of(root: Path, splits: Sequence[Part]) -> tuple[str, list[int]]:
    """Digest of two splits: classes, names and sizes of all images, and the bytes of every n-th of them; beside it, the
    pixels of the shorter side that some of these have.

    n = 1 where they are less than READ in all: then any change tells. A larger set is not read as a whole before it is
    planned; a change that keeps names and sizes, and misses every n-th image, is found when the images are decoded.
    """
    every = 1 + sum(sum(part.sizes.values()) for part in splits) // READ
    order = [part.ordered() for part in splits]
    read, sides = _read(root, set(list(chain.from_iterable(order))[::every]))
    digest = hashlib.sha256()
    for part, files in zip(splits, order, strict=True):
        top = _top(part)
        for file in files:
            name = composed(str(file.relative_to(top)))
            line = [part.images[file][0], name, part.sizes[file], read.get(file, "")]
            digest.update(json.dumps(line).encode() + b"\n")
        beside = [sorted(part.classes), sorted(str(path) for path in part.lost)]
        digest.update(json.dumps(beside).encode() + b"\n")
    return digest.hexdigest()[:32], sorted(sides)


def _top(part: Part) -> str:
    """The folder that holds all of it: how its splits are called and what lies above them is no part of its content."""
    return os.path.commonpath([file.parent for file in part.images]) if part.images else ""


def _read(root: Path, files: set[PurePosixPath]) -> tuple[dict[PurePosixPath, str], set[int]]:
    """The digests of files, and the shorter sides of the first MEASURED of them."""
    found: dict[PurePosixPath, str] = {}
    sides: set[int] = set()
    for entry in entries(root):
        if entry.read and entry.path in files:
            try:
                content = entry.read()
                sides |= {short_side(content)} if len(found) < MEASURED else set()
                found[entry.path] = hashlib.sha256(content).hexdigest()
            except OSError as error:  # it is named when it is decoded
                found[entry.path] = str(error.strerror)
    return found, sides - {0}
