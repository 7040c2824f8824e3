"""Reads the noun files of a full WordNet 3.0 (format: the manual pages wndb(5WN) and lexnames(5WN) of WordNet 3.0)."""

import os
import re
import sys
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

Folder = Path | zipfile.Path
"""A folder that holds `data.noun` and `index.noun`: on disk or inside an archive, as NLTK downloads it."""

HYPERNYM_POINTERS = ("@", "@i")
"""`@i` leads from an instance (a city, a person) to its class."""


class Nouns(NamedTuple):
    """The noun synsets of a WordNet, in the order of the file; parents are offsets."""

    names: tuple[str, ...]
    offsets: tuple[int, ...]
    parents: tuple[tuple[int, ...], ...]
    hyponyms: tuple[int, ...]
    lemmas: tuple[tuple[str, ...], ...]
    senses: dict[str, tuple[str, ...]]
    glosses: dict[str, str]


def find_wordnet() -> Folder | None:
    """The first full WordNet 3.0 among $WNHOME, the NLTK data folders and the places where packages put it.

    Other releases are passed over: their offsets, and so their wnids, are different.
    """
    return next((folder for folder in _candidates() if is_wordnet_3_0(folder)), None)


def is_wordnet_3_0(folder: Folder) -> bool:
    """Whether the folder holds the noun files of WordNet 3.0, going by the licence at the head of `data.noun`."""
    if not ((folder / "data.noun").is_file() and (folder / "index.noun").is_file()):
        return False
    with (folder / "data.noun").open(encoding="utf-8") as lines:
        return "WordNet 3.0 Copyright" in lines.read(2000)


def read_nouns(folder: Folder) -> Nouns:
    """Every noun synset, with its lemmas, hypernyms, gloss and number of distinct descendants."""
    offsets, lemmas, parents, definitions = zip(*_read_data(folder), strict=True)
    sense_offsets = dict(_read_index(folder))
    name_of = {
        offset: f"{words[0]}.n.{sense_offsets[words[0]].index(offset) + 1:02d}"
        for offset, words in zip(offsets, lemmas, strict=True)
    }
    names = tuple(name_of[offset] for offset in offsets)
    return Nouns(
        names=names,
        offsets=offsets,
        parents=parents,
        hyponyms=_count_descendants(offsets, parents),
        lemmas=lemmas,
        senses={lemma: tuple(name_of[offset] for offset in found) for lemma, found in sense_offsets.items()},
        glosses=dict(zip(names, definitions, strict=True)),
    )


def _candidates() -> Iterator[Folder]:
    if home := os.environ.get("WNHOME"):
        yield from (Path(home), Path(home, "dict"))
    for data in _nltk_folders():
        yield data / "corpora" / "wordnet"
        if zipfile.is_zipfile(archive := data / "corpora" / "wordnet.zip"):
            yield zipfile.Path(archive, "wordnet/")
    yield from (Path("/usr/share/wordnet"), Path("/usr/local/WordNet-3.0/dict"))


def _nltk_folders() -> list[Path]:
    """Where NLTK looks for its data (`nltk.data.path`), without importing it."""
    named = [Path(entry) for entry in os.environ.get("NLTK_DATA", "").split(os.pathsep) if entry]
    prefixes = [Path.home(), *(Path(sys.prefix, part) for part in ("", "share", "lib"))]
    system = [Path("/usr/share"), Path("/usr/local/share"), Path("/usr/lib"), Path("/usr/local/lib")]
    return named + [prefix / "nltk_data" for prefix in prefixes + system]


def _read_data(folder: Folder) -> Iterator[tuple[int, tuple[str, ...], tuple[int, ...], str]]:
    with (folder / "data.noun").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(" "):  # the licence
                continue
            record, _, gloss = line.partition(" | ")
            fields = record.split()
            words = int(fields[3], 16)
            lemmas = tuple(word.lower() for word in fields[4 : 4 + 2 * words : 2])
            pointers = fields[5 + 2 * words :]
            parents = tuple(
                int(target)
                for symbol, target in zip(pointers[::4], pointers[1::4], strict=False)
                if symbol in HYPERNYM_POINTERS
            )
            yield int(fields[0]), lemmas, parents, re.split(r'; "', gloss.strip(), maxsplit=1)[0]


def _read_index(folder: Folder) -> Iterator[tuple[str, tuple[int, ...]]]:
    with (folder / "index.noun").open(encoding="utf-8") as lines:
        for line in lines:
            if line.startswith(" "):
                continue
            fields = line.split()
            yield fields[0], tuple(map(int, fields[-int(fields[2]) :]))


def _count_descendants(offsets: tuple[int, ...], parents: tuple[tuple[int, ...], ...]) -> tuple[int, ...]:
    parents_of = dict(zip(offsets, parents, strict=True))
    ancestors: dict[int, frozenset[int]] = {}

    def above(offset: int) -> frozenset[int]:
        if offset not in ancestors:
            ancestors[offset] = frozenset().union(*({p} | above(p) for p in parents_of[offset]))
        return ancestors[offset]

    counts = Counter(ancestor for offset in offsets for ancestor in above(offset))
    return tuple(counts[offset] for offset in offsets)
