"""AG News (Zhang, Zhao & LeCun, 2015, 1509.01626): titles and descriptions of articles in four topics."""

import csv
import hashlib
import html
import io
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from study.data.cache import data_home, remembered
from study.data.dataset import DATASETS, Dataset, DataSource, Split
from study.data.files import absolute, entries, place, state

PADDING, UNKNOWN = 0, 1
_CLASSES = ("World", "Sports", "Business", "Sci/Tech")
_TRAIN_FILES = ("train.csv", "train_subset.csv")
_TEST_FILE = "test.csv"
_ENTITY = re.compile(r"&?(#\d+|amp|quot|lt|gt|nbsp);")
_WORD = re.compile(r"[^\W_]+(?:'[^\W_]+)*")


@DATASETS.register("ag_news")
@dataclass(frozen=True, kw_only=True)
class AgNews(DataSource):
    """AG News: titles and descriptions of news articles in 4 topics, as padded word ids."""

    root: str | None = field(default=None, metadata={"identity": "content"})
    """Folder or archive with train.csv (or train_subset.csv) and test.csv (None: ag_news in $STUDY_DATA)."""
    vocabulary: int = 20_000
    """Word ids at most, 0 (padding) and 1 (unknown) included: the most frequent words of the training texts."""
    max_length: int = 64
    """Words of a text that are kept, L; shorter texts are padded with 0."""

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "root", absolute(self.root))
        if self.vocabulary < 3:
            raise ValueError(f"vocabulary must be at least 3 (padding, unknown and a word), not {self.vocabulary}")
        if self.max_length < 1:
            raise ValueError(f"max_length must be at least 1 word, not {self.max_length}")

    def fingerprint(self) -> dict[str, Any]:
        return super().fingerprint() | {"content": self.content()}

    def content(self) -> str:
        """Digest of the two files, whatever holds them. They are read for it once in each of their states."""
        return self._content

    @cached_property
    def _content(self) -> str:
        root = self._location()
        return str(remembered({"source": "ag_news", "files": state(root)}, lambda: _digest(_read_files(root))))

    def decode(self) -> Dataset:
        """Raises ValueError where a file is missing or a row is not (class, title, description)."""
        root = self._location()
        files = _read_files(root)
        if _digest(files) != self.content():
            raise ValueError(f"{root} holds other texts than those that were planned with; plan again, or copy them")
        (train_labels, train_texts), (test_labels, test_texts) = (
            _parse(_text(content, root / name), name) for name, content in files.items()
        )
        vocabulary = build_vocabulary(train_texts, self.vocabulary)
        train = Split(encode(train_texts, vocabulary, self.max_length), train_labels)
        test = Split(encode(test_texts, vocabulary, self.max_length), test_labels)
        size = len(vocabulary) + 2
        return Dataset("ag_news", "text", train, test, _CLASSES, vocabulary_size=size, notes={"files": list(files)})

    def described(self, whole: Dataset) -> Dataset:
        """Equal texts elsewhere are the same arrays."""
        return replace(whole, notes={"source": self._location().name, **whole.notes})

    def _location(self) -> Path:
        return place(self.root) if self.root else data_home() / "ag_news"


def tokenize(text: str) -> list[str]:
    """Words in lower case: runs of letters and digits, apostrophes inside them kept."""
    plain = _ENTITY.sub(lambda entity: html.unescape(f"&{entity[1]};"), text.replace("\\", " "))
    return _WORD.findall(plain.lower())


def build_vocabulary(texts: Iterable[list[str]], size: int) -> dict[str, int]:
    """Ids 2 … size − 1 for the most frequent words, in the order of frequency, then of the alphabet."""
    counts = Counter(word for text in texts for word in text)
    words = sorted(counts, key=lambda word: (-counts[word], word))[: size - 2]
    return {word: index for index, word in enumerate(words, start=2)}


def encode(texts: list[list[str]], vocabulary: dict[str, int], length: int) -> np.ndarray:
    """Word ids int32 [N, length]: cut off or padded; a text without words is one unknown word."""
    ids = np.full((len(texts), length), PADDING, dtype=np.int32)
    for row, text in zip(ids, texts, strict=True):
        words = [vocabulary.get(word, UNKNOWN) for word in text[:length]] or [UNKNOWN]
        row[: len(words)] = words
    return ids


def _read_files(root: Path) -> dict[str, bytes]:
    """By their names: the training file, then the test file."""
    wanted = {*_TRAIN_FILES, _TEST_FILE}
    found = {e.path.name: e.read() for e in entries(root) if e.read and e.path.name in wanted}
    train = next((name for name in _TRAIN_FILES if name in found), None)
    if train is None or _TEST_FILE not in found:
        raise ValueError(f"{root} must hold {_TEST_FILE} and {' or '.join(_TRAIN_FILES)}; set data.root to them")
    return {name: found[name] for name in (train, _TEST_FILE)}


def _digest(files: dict[str, bytes]) -> str:
    return hashlib.sha256(b"".join(hashlib.sha256(content).digest() for content in files.values())).hexdigest()[:32]


def _text(content: bytes, path: Path) -> str:
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is no UTF-8 text ({error.reason} at byte {error.start}); fetch it again") from error


def _parse(content: str, name: str) -> tuple[np.ndarray, list[list[str]]]:
    """Labels int64 [N] and the words of each row's title and description."""
    rows = list(_rows(content, name))
    return np.array([label for label, _ in rows], dtype=np.int64), [tokenize(text) for _, text in rows]


def _rows(content: str, name: str) -> Iterator[tuple[int, str]]:
    for number, row in enumerate(_cells(content, name), start=1):
        if number == 1 and row[:1] == ["Class Index"]:  # the heading of a copy on Kaggle
            continue
        if len(row) != 3 or row[0] not in ("1", "2", "3", "4"):
            raise ValueError(
                f'{name} row {number} is not "class 1-4","title","description": {row!r:.80}; fetch it again'
            )
        yield int(row[0]) - 1, f"{row[1]} {row[2]}"


def _cells(content: str, name: str) -> Iterator[list[str]]:
    try:
        yield from csv.reader(io.StringIO(content, newline=""))
    except csv.Error as error:
        raise ValueError(f"{name} is no CSV file ({error}); fetch it again") from error
