"""Makes the embedded extract from a full WordNet 3.0: `python -m study.semantics.make_extract DICT_FOLDER`.

DICT_FOLDER holds `data.noun` and `index.noun`; on Debian, `apt-get install wordnet-base` puts it at
/usr/share/wordnet. Run it again after a class or a synset was added to `classes.json`.
"""

import argparse
import gzip
import json
from pathlib import Path

from study.semantics.classes import CLASS_MAPS
from study.semantics.wordnet_files import Nouns, is_wordnet_3_0, read_nouns

Row = tuple[str, int, list[int], int]


def hierarchy_rows(nouns: Nouns, names: list[str]) -> list[Row]:
    """The hypernym closure of the named synsets: (name, offset, rows of the hypernyms, hyponyms), by offset."""
    index = {offset: i for i, offset in enumerate(nouns.offsets)}
    closure: set[int] = set()
    pending = [nouns.names.index(name) for name in names]
    while pending:
        synset = pending.pop()
        if synset not in closure:
            closure.add(synset)
            pending += [index[parent] for parent in nouns.parents[synset]]
    kept = sorted(closure)
    row_of = {nouns.offsets[i]: row for row, i in enumerate(kept)}
    return [(nouns.names[i], nouns.offsets[i], [row_of[p] for p in nouns.parents[i]], nouns.hyponyms[i]) for i in kept]


def lexicon(nouns: Nouns, names: list[str]) -> dict[str, dict]:
    """All senses of every lemma of the named synsets, and the glosses of these senses."""
    wanted = set(names)
    lemmas = {lemma for name, words in zip(nouns.names, nouns.lemmas, strict=True) if name in wanted for lemma in words}
    senses = {lemma: nouns.senses[lemma] for lemma in sorted(lemmas)}
    listed = sorted({name for found in senses.values() for name in found})
    return {"senses": senses, "glosses": {name: nouns.glosses[name] for name in listed}}


def make_extract(dict_folder: Path, target: Path) -> None:
    """Write `hierarchy.json.gz` and `lexicon.json.gz` to the target folder; the same input gives the same bytes."""
    if not is_wordnet_3_0(dict_folder):
        raise ValueError(f"{dict_folder} holds no noun files of WordNet 3.0 (data.noun, index.noun); give its folder")
    nouns = read_nouns(dict_folder)
    mapped = sorted({name for classes in CLASS_MAPS.values() for synsets in classes.values() for name in synsets})
    rows = hierarchy_rows(nouns, mapped)
    contents = {"hierarchy.json.gz": rows, "lexicon.json.gz": lexicon(nouns, [name for name, *_ in rows])}
    for name, content in contents.items():
        packed = gzip.compress(json.dumps(content, separators=(",", ":")).encode(), compresslevel=9, mtime=0)
        (target / name).write_bytes(packed)
        print(f"{name}: {len(packed):,} bytes")
    print(f"{len(rows):,} synsets above {len(mapped):,} mapped ones")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("dict_folder", type=Path, help="folder of data.noun and index.noun, WordNet 3.0")
    parser.add_argument("--target", type=Path, default=Path(__file__).parent, help="where the extract is written")
    arguments = parser.parse_args()
    make_extract(arguments.dict_folder, arguments.target)


if __name__ == "__main__":
    main()
