import gzip
import json
from pathlib import Path

import pytest

from study.semantics import make_extract, wordnet
from study.semantics.classes import CLASS_MAPS
from study.semantics.wordnet_files import read_nouns


def test_extract_holds_the_hypernym_closure_with_counts_of_the_whole(small_wordnet: Path) -> None:
    rows = make_extract.hierarchy_rows(read_nouns(small_wordnet), ["being.n.01"])
    assert rows == [("entity.n.01", 100, [], 4), ("thing.n.01", 110, [0], 2), ("being.n.01", 120, [1], 1)]


def test_lexicon_lists_every_sense_of_a_lemma_even_outside_the_extract(small_wordnet: Path) -> None:
    lexicon = make_extract.lexicon(read_nouns(small_wordnet), ["thing.n.01"])
    assert lexicon["senses"] == {"object": ("thing.n.01", "cherub.n.01"), "thing": ("thing.n.01",)}
    assert set(lexicon["glosses"]) == {"thing.n.01", "cherub.n.01"}


def test_refuses_a_folder_without_wordnet(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no noun files of WordNet 3\.0"):
        make_extract.make_extract(tmp_path, tmp_path)


def test_the_embedded_extract_is_what_the_script_makes(dict_folder, tmp_path: Path) -> None:
    make_extract.make_extract(dict_folder, tmp_path)
    package = Path(wordnet.__file__).parent
    for name in ("hierarchy.json.gz", "lexicon.json.gz"):
        made, embedded = (json.loads(gzip.decompress((folder / name).read_bytes())) for folder in (tmp_path, package))
        assert made == embedded, f"{name} is out of date: run python -m study.semantics.make_extract"


def test_every_mapped_synset_is_in_the_embedded_hierarchy() -> None:
    named = {name for classes in CLASS_MAPS.values() for synsets in classes.values() for name in synsets}
    assert named <= set(wordnet.embedded().names)


def test_the_embedded_hierarchy_is_closed_and_small() -> None:
    hierarchy = wordnet.embedded()
    assert [name for name, parents in zip(hierarchy.names, hierarchy.parents, strict=True) if not parents] == [
        "entity.n.01"
    ]
    assert hierarchy.hyponyms[hierarchy.row_of["entity.n.01"]] == wordnet.NOUN_SYNSETS - 1
    package = Path(wordnet.__file__).parent
    assert (package / "hierarchy.json.gz").stat().st_size < 31_000
    assert "Princeton University" in (package / "LICENSE.wordnet").read_text()
