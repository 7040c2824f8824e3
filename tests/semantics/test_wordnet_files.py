import zipfile
from pathlib import Path

from study.semantics.wordnet_files import find_wordnet, is_wordnet_3_0, read_nouns


def test_reads_lemmas_hypernyms_senses_and_glosses(small_wordnet: Path) -> None:
    nouns = read_nouns(small_wordnet)
    assert nouns.names == ("entity.n.01", "thing.n.01", "being.n.01", "spirit.n.01", "cherub.n.01")
    assert nouns.parents[4] == (120, 130)  # an instance's class counts as a hypernym
    assert nouns.senses["object"] == ("thing.n.01", "cherub.n.01")
    assert nouns.glosses["cherub.n.01"] == "a chubby being"  # without the examples


def test_counts_a_descendant_once_however_many_ways_lead_to_it(small_wordnet: Path) -> None:
    assert read_nouns(small_wordnet).hyponyms == (4, 2, 1, 1, 0)


def test_finds_wordnet_under_wnhome(small_wordnet: Path, monkeypatch) -> None:
    monkeypatch.setenv("WNHOME", str(small_wordnet.parent))
    assert find_wordnet() == small_wordnet


def test_finds_wordnet_in_nltk_data_packed_or_not(tmp_path: Path, wordnet_writer, monkeypatch) -> None:
    monkeypatch.delenv("WNHOME", raising=False)
    monkeypatch.setenv("NLTK_DATA", str(tmp_path / "nltk_data"))
    corpus = wordnet_writer(tmp_path / "nltk_data" / "corpora" / "wordnet")
    assert find_wordnet() == corpus
    unpacked = read_nouns(corpus)
    with zipfile.ZipFile(corpus.parent / "wordnet.zip", "w") as archive:
        for file in list(corpus.iterdir()):
            archive.write(file, f"wordnet/{file.name}")
            file.unlink()
    packed = find_wordnet()
    assert isinstance(packed, zipfile.Path)
    assert read_nouns(packed) == unpacked


def test_passes_over_another_release_of_wordnet(tmp_path: Path, wordnet_writer, monkeypatch) -> None:
    other = wordnet_writer(tmp_path / "dict", release="3.1")
    assert not is_wordnet_3_0(other)
    monkeypatch.setenv("WNHOME", str(other))
    assert find_wordnet() != other
