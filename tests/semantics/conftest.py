from collections.abc import Callable
from pathlib import Path

import pytest

from study.semantics import wordnet_files

NOUNS = {  # lemmas, hypernyms, gloss: two ways up to cherub, one of them through an instance pointer
    "entity": (["entity"], [], "that which exists"),
    "thing": (["thing", "object"], ["@ entity"], "a separate entity"),
    "being": (["being"], ["@ thing"], "a living thing"),
    "spirit": (["spirit"], ["@ entity"], "an incorporeal entity"),
    "cherub": (["cherub", "object"], ["@i being", "@ spirit"], 'a chubby being; "a painted cherub"'),
}


def write_wordnet(folder: Path, release: str = "3.0") -> Path:
    """A WordNet of five nouns in the format wndb(5WN)."""
    offset = {name: 100 + 10 * i for i, name in enumerate(NOUNS)}
    lines = [f"  1 WordNet {release} Copyright 2006 by Princeton University.  All rights reserved.  "]
    senses: dict[str, list[int]] = {}
    for name, (lemmas, hypernyms, gloss) in NOUNS.items():
        words = " ".join(f"{lemma.capitalize()} 0" for lemma in lemmas)
        pointers = [pointer.split() for pointer in hypernyms]
        targets = " ".join(f"{symbol} {offset[target]:08d} n 0000" for symbol, target in pointers)
        lines.append(f"{offset[name]:08d} 03 n {len(lemmas):02x} {words} {len(pointers):03d} {targets} | {gloss}  ")
        for lemma in lemmas:
            senses.setdefault(lemma, []).append(offset[name])
    index = [f"{k} n {len(v)} 1 @ {len(v)} 0 {' '.join(f'{o:08d}' for o in v)}  " for k, v in senses.items()]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "data.noun").write_text("\n".join(lines) + "\n")
    (folder / "index.noun").write_text("\n".join(index) + "\n")
    return folder


@pytest.fixture
def small_wordnet(tmp_path: Path) -> Path:
    return write_wordnet(tmp_path / "dict")


@pytest.fixture
def wordnet_writer() -> Callable[..., Path]:
    return write_wordnet


@pytest.fixture(scope="session")
def dict_folder() -> wordnet_files.Folder:
    """The folder of a full WordNet 3.0."""
    folder = wordnet_files.find_wordnet()
    if folder is None:
        pytest.skip("no full WordNet 3.0 here (Debian: apt-get install wordnet-base; or set WNHOME)")
    return folder
