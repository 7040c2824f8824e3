"""A folder on a filesystem that fsspec opens: an object store (s3://, gs://), the Hugging Face hub (hf://)."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, cast
from urllib.parse import urlsplit

from study.data.containers.entry import Entry

_STAMPS = ("ETag", "etag", "LastModified", "mtime", "updated", "last_commit", "blob_id", "created")
"""Names under which filesystems tell that a file has changed."""


def opened(uri: str) -> Path:
    """The place of a URI, with a path's methods; ValueError with what to install, or for a scheme that is not known."""
    from fsspec.registry import get_filesystem_class, known_implementations  # type: ignore[import-untyped]
    from upath import UPath

    scheme = urlsplit(uri).scheme
    try:
        get_filesystem_class(scheme)
    except ImportError:
        package = {"s3": "s3fs", "s3a": "s3fs", "gs": "gcsfs", "gcs": "gcsfs", "hf": "huggingface_hub"}.get(scheme)
        hint = f"pip install {package}" if package else known_implementations[scheme].get("err", "")
        raise ValueError(f"{scheme}:// needs a package that is not installed: {hint}") from None
    except ValueError:
        raise ValueError(
            f"{uri} has a scheme that is not known; set data.root to a folder, an archive, or s3://…"
        ) from None
    return cast(Path, UPath(uri, use_listings_cache=False))  # what is listed may change


def in_bucket(root: Any) -> Iterator[Entry]:
    """Folders and files in the order of names, listed at once."""
    base = root.fs._strip_protocol(str(root)).rstrip("/")
    folders: set[PurePosixPath] = set()
    for name, told in sorted(root.fs.find(base, detail=True).items()):
        path = PurePosixPath(name.removeprefix(base).lstrip("/"))
        for folder in reversed(path.parents):
            if folder.parts and folder not in folders:
                folders.add(folder)
                yield Entry(folder, None)
        if told["type"] == "file" and path.parts:
            yield Entry(path, partial(_read, root.fs, name), size=told["size"] or 0, free=True)


def bucket_state(root: Any) -> list[tuple[str, int, str]]:
    """(path, bytes, stamp) of the file, or of all below the folder: changes when they do."""
    base = root.fs._strip_protocol(str(root))
    found = {base: root.fs.info(base)} if root.is_file() else root.fs.find(base, detail=True)
    return [(name, told["size"] or 0, _stamp(told)) for name, told in sorted(found.items())]


def _stamp(told: dict[str, Any]) -> str:
    return " ".join(f"{name}={told[name]}" for name in _STAMPS if told.get(name) is not None)


def _read(filesystem: Any, name: str) -> bytes:
    try:
        return bytes(filesystem.cat_file(name))
    except OSError:
        raise
    except Exception as error:  # each filesystem has its own
        raise OSError(f"{type(error).__name__}: {error}") from error
