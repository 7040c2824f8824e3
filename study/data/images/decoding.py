"""Decoding of many images straight into a file of the cache, in parallel; what a killed process had done is kept."""

import errno
import os
import sys
import threading
import time
import weakref
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import BinaryIO

import numpy as np

from study.data.cache import mapped
from study.data.containers.entry import Entry
from study.data.images.packed import Packed
from study.data.pixels import UnreadableImage, decode_image, upright
from study.storage.store import write_atomically

_TO_DO, _DONE, _SEVERAL, _UNREADABLE = range(4)
"""States of a row; _SEVERAL: done, of a file with several frames."""
_SETTLED = 1000
"""Images after which what was decoded is written down as done."""
_CHUNK = 2**24
_HEADER = 128
"""Bytes before the data of a .npy file."""


class Rows(ABC):
    """The images of a split in a file NAME.npy of a folder, in any order; beside it, which of them are done.

    Written by calls of the system and not through a memory map: a full disk is an error then, not the end of the
    process, and pages that were written are not counted as the process's memory.
    """

    def __init__(self, folder: Path, name: str, count: int) -> None:
        self.path, self._marks_path = folder / f"{name}.npy", folder / f"{name}.marks"
        if not self._begun(count):
            self.path.unlink(missing_ok=True)
            self._begin(count)
            self._marks_path.write_bytes(bytes(count))
        self.marks = np.frombuffer(self._marks_path.read_bytes(), np.uint8).copy()
        self.marks[self.marks == _UNREADABLE] = _TO_DO
        self._file = os.open(self.path, os.O_RDWR)
        self._release = weakref.finalize(self, os.close, self._file)  # deleted files take room until they are closed

    @abstractmethod
    def put(self, row: int, content: bytes) -> bool:
        """Put the image of a file into its row; whether the file has more frames. Raises UnreadableImage."""

    @abstractmethod
    def finish(self) -> np.ndarray | Packed:
        """The rows that are done, read-only; the others are dropped."""

    @abstractmethod
    def _begin(self, count: int) -> None:
        """Make the files of so many rows."""

    def _begun(self, count: int) -> bool:
        """Whether a process that was killed has left these files."""
        return self._marks_path.exists() and self._marks_path.stat().st_size == count and self.path.exists()

    def _write(self, content: bytes, at: int) -> None:
        if os.pwrite(self._file, content, at) < len(content):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def settle(self) -> None:
        """Write down which rows are done, once they are on the disk."""
        done = self.marks.tobytes()  # before the disk has them: threads go on
        os.fsync(self._file)
        for path, content in self._beside().items():
            write_atomically(path, content)
        write_atomically(self._marks_path, done)

    def _beside(self) -> dict[Path, bytes]:
        """Files with what else is to be known of rows that are done."""
        return {}

    def done(self) -> np.ndarray:
        """Which rows are done, int64 [n]."""
        return np.flatnonzero((self.marks == _DONE) | (self.marks == _SEVERAL))

    def _close(self) -> None:
        self.settle()
        self._release()
        self._marks_path.unlink()


class PixelRows(Rows):
    """Images uint8 [N, S, S, 3], row by row."""

    def __init__(self, folder: Path, name: str, count: int, size: int) -> None:
        self._row, self._shape = size * size * 3, (count, size, size, 3)
        super().__init__(folder, name, count)
        self._start = os.fstat(self._file).st_size - count * self._row

    def _begin(self, count: int) -> None:
        np.lib.format.open_memmap(self.path, mode="w+", dtype=np.uint8, shape=self._shape)

    def _begun(self, count: int) -> bool:
        try:
            return super()._begun(count) and mapped(self.path).shape == self._shape
        except (OSError, ValueError):
            return False

    def put(self, row: int, content: bytes) -> bool:
        pixels, several = decode_image(content, self._shape[1])
        self._write(pixels.tobytes(), self._start + row * self._row)
        return several

    def finish(self) -> np.ndarray:
        self._close()
        if len(self.done()) < len(self.marks):
            self._drop_others(self.done())
        return mapped(self.path)

    def _drop_others(self, kept: np.ndarray) -> None:
        """Copy the rows that are done into a file of their own, in its place."""
        whole, shorter = mapped(self.path), self.path.with_suffix(".shorter")
        with shorter.open("wb") as file:
            _write_header(file, (len(kept), *self._shape[1:]))
            step = max(_CHUNK // self._row, 1)
            for start in range(0, len(kept), step):
                file.write(whole[kept[start : start + step]].tobytes())
        shorter.replace(self.path)


class PackedRows(Rows):
    """Images as the bytes of their files, in the order in which they come; each was decoded once, to know that it can
    be."""

    def __init__(self, folder: Path, name: str, count: int, size: int) -> None:
        self._size, self._index_path = size, folder / f"{name}.index"
        super().__init__(folder, name, count)
        self._index = np.frombuffer(self._index_path.read_bytes(), np.int64).reshape(count, 2).copy()
        self._end = max(_HEADER, *self._index[self.done()].max(axis=0, initial=0).tolist())
        self._lock = threading.Lock()

    def _begin(self, count: int) -> None:
        self.path.touch()
        self._index_path.write_bytes(bytes(16 * count))

    def put(self, row: int, content: bytes) -> bool:
        _, several = upright(content)
        with self._lock:
            start, self._end = self._end, self._end + len(content)
        self._write(content, start)
        self._index[row] = start, start + len(content)
        return several

    def _beside(self) -> dict[Path, bytes]:
        return {self._index_path: self._index.tobytes()}

    def finish(self) -> Packed:
        self._close()
        os.truncate(self.path, self._end)
        with self.path.open("r+b") as file:
            _write_header(file, (self._end - _HEADER,))
        self._index_path.unlink()
        return Packed(mapped(self.path), self._index[self.done()] - _HEADER, self._size)


def _write_header(file: BinaryIO, shape: tuple[int, ...]) -> None:
    """That of a .npy file of uint8: _HEADER bytes, where there are up to four dimensions."""
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


Places = Mapping[PurePosixPath, tuple[Rows, int]]
"""File → the rows that it goes to, and which of them."""


def decode_all(found: Iterable[Entry], places: Places) -> tuple[dict[PurePosixPath, str], int]:
    """Decode each file into its row; those that cannot be read, with the reason, and how many have several frames."""
    rows = {id(one): one for one, _ in places.values()}.values()
    before = sum(int(np.count_nonzero(one.marks)) for one in rows)
    unreadable: dict[PurePosixPath, str] = {}
    told = _Told(len(places), before)
    for number, (path, reason) in enumerate(_in_parallel(_jobs(found, places)), start=1):
        if reason:
            unreadable[path] = reason
        if number % _SETTLED == 0:
            for one in rows:
                one.settle()
        told(before + number)
    return unreadable, sum(int(np.count_nonzero(one.marks == _SEVERAL)) for one in rows)


Job = Callable[[], tuple[PurePosixPath, str]]


def _jobs(found: Iterable[Entry], places: Places) -> Iterator[Job]:
    for entry in found:
        rows, row = places.get(entry.path, (None, 0))
        if rows is not None and rows.marks[row] == _TO_DO:
            content = entry.read if entry.free else _content(entry)
            yield lambda entry=entry, content=content, rows=rows, row=row: (  # type: ignore[misc]
                entry.path,
                _decode(content, rows, row),
            )


def _content(entry: Entry) -> Callable[[], bytes]:
    """The bytes that can only be read while the entry is the newest."""
    assert entry.read is not None  # a file
    try:
        content = entry.read()
    except OSError as error:
        problem = error
        return lambda: _raise(problem)
    return lambda: content


def _raise(error: OSError) -> bytes:
    raise error


def _decode(read: Callable[[], bytes], rows: Rows, row: int) -> str:
    """Why it cannot be read, or nothing."""
    try:
        several = rows.put(row, _read(read))
    except UnreadableImage as error:
        rows.marks[row] = _UNREADABLE
        return str(error)
    rows.marks[row] = _SEVERAL if several else _DONE
    return ""


def _read(read: Callable[[], bytes]) -> bytes:
    try:
        return read()
    except OSError as error:
        raise UnreadableImage(error.strerror or str(error)) from error


def _in_parallel(jobs: Iterator[Job]) -> Iterator[tuple[PurePosixPath, str]]:
    """Results in the order of the jobs, which threads do on the cores that may be used: Pillow frees Python's lock."""
    from joblib import cpu_count

    threads = cpu_count()
    waiting: deque[Future[tuple[PurePosixPath, str]]] = deque()
    with ThreadPoolExecutor(threads) as pool:
        for job in jobs:
            waiting.append(pool.submit(job))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


class _Told:
    """A line on a terminal that goes on; elsewhere one every half minute. Of what takes seconds nothing is told."""

    def __init__(self, total: int, before: int) -> None:
        self._total, self._before = total, before
        self._started = self._last = time.monotonic()
        self._live = sys.stderr.isatty()

    def __call__(self, done: int) -> None:
        now = time.monotonic()
        last = self._live and done == self._total and self._last > self._started
        if not last and now - self._last < (1 if self._live else 30):
            return
        self._last = now
        rate = (done - self._before) / max(now - self._started, 1e-9)
        left = (self._total - done) / max(rate, 1e-9) / 60
        line = f"decoding images: {done:,} of {self._total:,}, {rate:,.0f} a second, {left:.1f} min left"
        start, end = ("\r\x1b[K", "\n" if last else "") if self._live else ("", "\n")
        print(start + line, end=end, file=sys.stderr, flush=True)
