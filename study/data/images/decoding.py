"""Decoding of many images straight into a file of the cache, in parallel; what a killed process had done is kept."""

import errno
import os
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path, PurePosixPath

import numpy as np

from study.data.containers.entry import Entry
from study.data.pixels import UnreadableImage, decode_image
from study.storage.store import write_atomically

_TO_DO, _DONE, _SEVERAL, _UNREADABLE = range(4)
"""States of a row; _SEVERAL: done, of a file with several frames."""
_SETTLED = 1000
"""Images after which what was decoded is written down as done."""
_CHUNK = 2**24


class Rows:
    """Images uint8 [N, S, S, 3] in a .npy file, written row by row in any order; beside it, which rows are done.

    Written by calls of the system and not through a memory map: a full disk is an error then, not the end of the
    process, and pages that were written are not counted as the process's memory.
    """

    def __init__(self, folder: Path, name: str, count: int, size: int) -> None:
        self.path, self._marks_path = folder / f"{name}.npy", folder / f"{name}.marks"
        self._row, self._shape = size * size * 3, (count, size, size, 3)
        if not self._begun(count):
            self.path.unlink(missing_ok=True)
            np.lib.format.open_memmap(self.path, mode="w+", dtype=np.uint8, shape=self._shape)
            self._marks_path.write_bytes(bytes(count))
        self.marks = np.frombuffer(self._marks_path.read_bytes(), np.uint8).copy()
        self.marks[self.marks == _UNREADABLE] = _TO_DO
        self._file = os.open(self.path, os.O_RDWR)
        self._start = os.fstat(self._file).st_size - count * self._row

    def _begun(self, count: int) -> bool:
        """Whether a process that was killed has left this file."""
        try:
            found = np.load(self.path, mmap_mode="r")
        except (OSError, ValueError):
            return False
        return found.shape == self._shape and self._marks_path.exists() and self._marks_path.stat().st_size == count

    def write(self, row: int, pixels: np.ndarray) -> None:
        """Put an image into its row."""
        written = os.pwrite(self._file, pixels.tobytes(), self._start + row * self._row)
        if written < self._row:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def settle(self) -> None:
        """Write down which rows are done, once they are on the disk."""
        done = self.marks.tobytes()  # before the disk has them: threads go on
        os.fsync(self._file)
        write_atomically(self._marks_path, done)

    def done(self) -> np.ndarray:
        """Which rows are done, int64 [n]."""
        return np.flatnonzero((self.marks == _DONE) | (self.marks == _SEVERAL))

    def finish(self) -> np.ndarray:
        """A read-only map of the rows that are done; the others are dropped."""
        self.settle()
        os.close(self._file)
        if len(self.done()) < len(self.marks):
            self._drop_others(self.done())
        self._marks_path.unlink()
        return np.load(self.path, mmap_mode="r")

    def _drop_others(self, kept: np.ndarray) -> None:
        """Copy the rows that are done into a file of their own, in its place."""
        whole, shorter = np.load(self.path, mmap_mode="r"), self.path.with_suffix(".shorter")
        with shorter.open("wb") as file:
            header = {"descr": "|u1", "fortran_order": False, "shape": (len(kept), *self._shape[1:])}
            np.lib.format.write_array_header_1_0(file, header)
            step = max(_CHUNK // self._row, 1)
            for start in range(0, len(kept), step):
                file.write(whole[kept[start : start + step]].tobytes())
        shorter.replace(self.path)


Places = Mapping[PurePosixPath, tuple[Rows, int]]
"""File → the rows that it goes to, and which of them."""


def decode_all(found: Iterable[Entry], places: Places, size: int) -> tuple[dict[PurePosixPath, str], int]:
    """Decode each file into its row; those that cannot be read, with the reason, and how many have several frames."""
    rows = {id(one): one for one, _ in places.values()}.values()
    before = sum(int(np.count_nonzero(one.marks)) for one in rows)
    unreadable: dict[PurePosixPath, str] = {}
    told = _Told(len(places), before)
    for number, (path, reason) in enumerate(_in_parallel(_jobs(found, places, size)), start=1):
        if reason:
            unreadable[path] = reason
        if number % _SETTLED == 0:
            for one in rows:
                one.settle()
        told(before + number)
    return unreadable, sum(int(np.count_nonzero(one.marks == _SEVERAL)) for one in rows)


Job = Callable[[], tuple[PurePosixPath, str]]


def _jobs(found: Iterable[Entry], places: Places, size: int) -> Iterator[Job]:
    for entry in found:
        rows, row = places.get(entry.path, (None, 0))
        if rows is not None and rows.marks[row] == _TO_DO:
            content = entry.read if entry.free else _content(entry)
            yield lambda entry=entry, content=content, rows=rows, row=row: (  # type: ignore[misc]
                entry.path,
                _decode(content, rows, row, size),
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


def _decode(read: Callable[[], bytes], rows: Rows, row: int, size: int) -> str:
    """Why it cannot be read, or nothing."""
    try:
        pixels, several = decode_image(_read(read), size)
    except UnreadableImage as error:
        rows.marks[row] = _UNREADABLE
        return str(error)
    rows.write(row, pixels)
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
