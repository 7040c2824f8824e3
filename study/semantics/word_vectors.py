"""Word vectors of class names, from a text file as word2vec and GloVe write it."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from study.semantics.classes import SYNSET, plain_word
from study.semantics.similarity import Matrix

FEWEST = 5
"""Classes with a vector, below which nothing is made of them."""


def word_similarity(path: str, names: Sequence[str]) -> tuple[Matrix, tuple[str, ...]]:
    """[C, C]: cosine of the class names' vectors, NaN for classes without one; and the names of these.

    A line is a word and its D numbers, parted by spaces; a first line of two whole numbers is word2vec's. A name is
    looked up as it is, with its words joined by `_` or `-`, and in lower case; else it has the mean of its words'
    vectors, if each has one. Raises ValueError for what is no such file, and for fewer than 5 classes with a vector.
    """
    file = Path(path)
    if not file.is_file():
        raise ValueError(f"{path} is no file; name a text file of vectors, as word2vec and GloVe write it")
    stat = file.stat()
    similarity, missing = _similarity(str(file), (stat.st_mtime_ns, stat.st_size), tuple(names))
    if len(names) - len(missing) < FEWEST:
        raise ValueError(
            f"{path} has vectors of {len(names) - len(missing)} of {len(names)} classes, and {FEWEST} are needed; "
            f"missing: {', '.join(missing[:10])}"
        )
    return similarity, missing


@lru_cache(maxsize=8)
def _similarity(path: str, _version: tuple[int, int], names: tuple[str, ...]) -> tuple[Matrix, tuple[str, ...]]:
    words = {name: _spellings(name) for name in names}
    wanted = {spelling for whole, parts in words.values() for spelling in (*whole, *sum(parts, ()))}
    vectors = _read(Path(path), wanted)
    found = [_vector(*words[name], vectors) for name in names]
    width = next((len(vector) for vector in found if vector is not None), 1)
    rows = np.array([np.full(width, np.nan) if vector is None else vector for vector in found], dtype=np.float64)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    rows = np.divide(rows, lengths, out=np.full(rows.shape, np.nan), where=lengths > 0)
    return rows @ rows.T, tuple(name for name, row in zip(names, rows, strict=True) if np.isnan(row).any())


def _spellings(name: str) -> tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]:
    """(spellings of the whole name, spellings of each of its words)."""
    synset = SYNSET.fullmatch(name)
    words = [word for word in re.split(r"[\s_-]+", synset["lemma"] if synset else plain_word(name)) if word]
    whole = [joint.join(words) for joint in ("_", "-", " ", "")]
    return _cased(whole), tuple(_cased([word]) for word in words)


def _cased(words: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys([*words, *(word.lower() for word in words)]))


def _vector(
    whole: tuple[str, ...], parts: tuple[tuple[str, ...], ...], vectors: dict[str, np.ndarray]
) -> np.ndarray | None:
    for spelling in whole:
        if spelling in vectors:
            return vectors[spelling]
    found = [next((vectors[spelling] for spelling in part if spelling in vectors), None) for part in parts]
    there = [vector for vector in found if vector is not None]
    return np.mean(there, axis=0) if found and len(there) == len(found) else None


def _read(path: Path, wanted: set[str]) -> dict[str, np.ndarray]:
    """The vectors of these words; others are passed over unread."""
    vectors: dict[str, np.ndarray] = {}
    width = None
    try:
        with path.open(encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                word, _, rest = line.rstrip().partition(" ")
                if word not in wanted or word in vectors or (number == 1 and len(rest.split()) == 1):
                    continue
                vector = np.array(rest.split(), dtype=np.float64)
                width = width or len(vector)
                if not width or len(vector) != width or not np.isfinite(vector).all():
                    raise ValueError(f"{len(vector)} numbers, where another word has {width}")
                vectors[word] = vector
    except UnicodeDecodeError:
        raise ValueError(f"{path} is no text in UTF-8; word2vec's binary files are not read: save it as text") from None
    except ValueError as error:
        raise ValueError(f"{path}, line {number}: a word and its numbers are expected ({error})") from None
    return vectors
