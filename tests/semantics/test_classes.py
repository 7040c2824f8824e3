import json
import re
import shlex
from pathlib import Path

import pytest
import yaml

from study.semantics import classes
from study.semantics.classes import CLASS_MAPS, UnresolvedClasses, canonical, hierarchy_of, synsets_of
from study.semantics.wordnet import Hierarchy, Lexicon, embedded

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(autouse=True)
def without_full_wordnet(monkeypatch) -> None:
    monkeypatch.setattr(classes, "full", lambda: None)


def shared(name: str):
    if not SHARED.exists():
        pytest.skip(f"needs {name} of the shared development data beside the repository")
    return json.loads((SHARED / name).read_text())


@pytest.mark.parametrize("dataset", CLASS_MAPS)
def test_every_class_of_a_known_data_set_resolves(dataset: str) -> None:
    names = list(CLASS_MAPS[dataset])
    assert synsets_of(names, dataset=dataset) == tuple(CLASS_MAPS[dataset][name][0] for name in names)


@pytest.mark.parametrize(("dataset", "count"), [("shapes", 20), ("cifar10", 10), ("cifar100", 100),
    ("cifar100_coarse", 20), ("imagenet", 1000), ("tiny_imagenet", 200), ("ag_news", 4)])  # fmt: skip
def test_the_maps_are_whole(dataset: str, count: int) -> None:
    assert len(CLASS_MAPS[dataset]) == count


@pytest.mark.parametrize("dataset", ["cifar10", "cifar100"])
def test_maps_agree_with_the_shared_synsets(dataset: str) -> None:
    for name, entry in shared(f"{dataset}_synsets.json").items():
        assert CLASS_MAPS[dataset][name] == [entry["synset"], *entry.get("alternates", [])]
        assert canonical(entry["wnid"]) == entry["synset"]


@pytest.mark.parametrize("dataset", ["imagenet", "tiny_imagenet"])
def test_wnid_folders_need_no_mapping(dataset: str) -> None:
    entries = shared(f"{dataset}_synsets.json")
    assert synsets_of([entry["wnid"] for entry in entries]) == tuple(entry["synset"] for entry in entries)


def test_names_with_one_noun_sense_resolve_by_themselves() -> None:
    assert synsets_of(["golden retriever", "airplane", "n02084071", "dog.n.01"]) == (
        "golden_retriever.n.01", "airplane.n.01", "dog.n.01", "dog.n.01")  # fmt: skip


def test_a_synset_may_be_named_by_any_of_its_lemmas() -> None:
    assert canonical("plane.n.01") == "airplane.n.01"
    assert hierarchy_of(["plane.n.01"]) == hierarchy_of(["n02691156"])


def test_an_ambiguous_name_lists_its_senses_instead_of_guessing() -> None:
    with pytest.raises(UnresolvedClasses) as caught:
        synsets_of(["golden retriever", "crane"])
    message = str(caught.value)
    assert "1 of 2 classes" in message
    assert "class 'crane': 5 noun senses" in message
    assert "crane.n.04: lifts and moves heavy objects" in message
    assert "crane.n.05: large long-necked wading bird" in message
    assert "synsets={'crane': 'lemma.n.NN'" in message
    assert "--set 'synsets.crane=lemma.n.NN'" in message


def test_a_class_without_a_synset_is_named_with_what_to_do() -> None:
    with pytest.raises(UnresolvedClasses, match=r"class 'frobnicator': no noun sense in WordNet; .*wordnet-base"):
        synsets_of(["dog.n.01", "frobnicator"])


@pytest.mark.parametrize(
    ("name", "candidate"),
    [
        ("golden retreiver", "golden_retriever.n.01: an English breed"),
        ("dogs", "dog.n.01: a member of the genus Canis"),
        ("rescue-dog", "dog.n.01: a member of the genus Canis"),
    ],
    ids=["misspelt", "plural", "compound"],
)
def test_a_class_without_a_synset_has_the_senses_of_words_like_it_as_candidates(name: str, candidate: str) -> None:
    with pytest.raises(UnresolvedClasses) as caught:
        synsets_of([name])
    assert f"class {name!r}: no noun sense in WordNet" in str(caught.value)
    assert f"\n    {candidate}" in str(caught.value)


def test_a_mapping_overrides_the_data_set() -> None:
    assert synsets_of(["cat", "dog"], dataset="cifar10", mapping={"dog": "n02085374"}) == ("cat.n.01", "toy_dog.n.01")


def test_a_mapping_may_leave_out_wnid_folders() -> None:
    assert synsets_of(["n02084071", "mouse"], mapping={"mouse": "mouse.n.04"}) == ("dog.n.01", "mouse.n.04")


def test_a_mapping_that_misses_classes_names_them_with_candidates() -> None:
    with pytest.raises(UnresolvedClasses) as caught:
        synsets_of(["cat", "mouse"], mapping={"cat": "cat.n.01"})
    message = str(caught.value)
    assert "class 'mouse': the mapping has no synset for it" in message
    assert "mouse.n.04: a hand-operated electronic device" in message
    assert "class 'cat'" not in message


def test_a_mapping_to_a_sense_that_does_not_exist_lists_those_that_do() -> None:
    with pytest.raises(UnresolvedClasses, match=r"class 'cat': no synset 'cat\.n\.99'\n +cat\.n\.01: feline"):
        synsets_of(["cat"], mapping={"cat": "cat.n.99"})


def test_a_mapping_of_unknown_classes_is_refused() -> None:
    with pytest.raises(UnresolvedClasses, match="'cta'; did you mean 'cat'"):
        synsets_of(["cat"], dataset="cifar10", mapping={"cta": "cat.n.01"})


def test_many_problems_are_counted_and_the_first_are_shown() -> None:
    with pytest.raises(UnresolvedClasses, match=r"12 of 12 classes(.|\n)*and 2 more"):
        synsets_of([f"frobnicator{i}" for i in range(12)])


def test_a_sense_that_is_listed_but_not_embedded_needs_a_full_wordnet() -> None:
    assert synsets_of(["mouse"], mapping={"mouse": "shiner.n.01"}) == ("shiner.n.01",)
    with pytest.raises(UnresolvedClasses, match=r"not in the embedded extract: shiner\.n\.01; .*WNHOME"):
        hierarchy_of(["shiner.n.01"])


def test_a_full_wordnet_is_asked_for_what_the_extract_lacks(monkeypatch) -> None:
    hierarchy = Hierarchy(("entity.n.01", "zeppelin.n.02"), (1740, 4614988), ((), (0,)), (1, 0))
    lexicon = Lexicon({"zeppelin": ("zeppelin.n.02",)}, {"zeppelin.n.02": "a large rigid dirigible"})
    with pytest.raises(UnresolvedClasses, match=r"no synset 'zeppelin\.n\.02'; .*WNHOME"):
        hierarchy_of(["zeppelin.n.02"])
    monkeypatch.setattr(classes, "full", lambda: (hierarchy, lexicon))
    assert synsets_of(["zeppelin"]) == ("zeppelin.n.02",)
    assert hierarchy_of(["entity.n.01", "zeppelin.n.02"]) == (hierarchy, [0, 1])
    assert hierarchy_of(["entity.n.01"])[0] is embedded()


def test_coarse_classes_have_the_map_of_their_data_set() -> None:
    coarse = CLASS_MAPS["cifar100_coarse"]
    assert synsets_of(list(coarse), dataset="cifar100") == tuple(names[0] for names in coarse.values())


@pytest.mark.parametrize(
    ("name", "synset"),
    [
        ("N02084071", "dog.n.01"),
        ("n02085620-Chihuahua", "chihuahua.n.03"),
        ("001_n02085620", "chihuahua.n.03"),
        ("001.Golden_Retriever", "golden_retriever.n.01"),
        ("018.golden-retriever", "golden_retriever.n.01"),
        ("18 - airplane", "airplane.n.01"),
        ("7_GoldenRetriever", "golden_retriever.n.01"),
    ],
)
def test_a_synset_is_found_in_a_name_that_holds_more(name: str, synset: str) -> None:
    assert synsets_of([name]) == (synset,)


@pytest.mark.parametrize("name", ["an02085620", "n020856201", "n02085620-n02084071", "12"])
def test_what_only_looks_like_a_wnid_or_a_numbered_word_is_none(name: str) -> None:
    with pytest.raises(UnresolvedClasses, match="no noun sense in WordNet"):
        synsets_of([name])


def test_a_numbered_name_of_several_senses_has_them_as_candidates() -> None:
    with pytest.raises(UnresolvedClasses, match=r"class '056.dog': 7 noun senses in WordNet\n +dog.n.01: a member"):
        synsets_of(["056.dog"])
    with pytest.raises(UnresolvedClasses, match=r"class '056.dog': the mapping has no synset for it\n +dog.n.01"):
        synsets_of(["056.dog", "cat"], mapping={"cat": "cat.n.01"})


def test_words_are_found_whatever_parts_them(monkeypatch: pytest.MonkeyPatch) -> None:
    lexicon = Lexicon({"black-footed_albatross": ("black-footed_albatross.n.01",)}, {})
    monkeypatch.setattr(classes, "full", lambda: (Hierarchy((), (), (), ()), lexicon))
    assert synsets_of(["001.Black_footed_Albatross"]) == ("black-footed_albatross.n.01",)


@pytest.mark.parametrize("name", ["001.ak47", "a=b.c", "café: it's", '$"x".y', " padded"])
def test_the_advice_for_any_name_is_an_override_that_names_its_class(name: str) -> None:
    with pytest.raises(UnresolvedClasses) as caught:
        synsets_of([name])
    (advice,) = re.findall(r"--set (.*) …", str(caught.value))
    (override,) = shlex.split(advice)
    path, _, value = override.partition("=")
    if path == "synsets":
        assert yaml.safe_load(value) == {name: "lemma.n.NN"}
    else:
        assert (path, value) == (f"synsets.{name}", "lemma.n.NN")
        assert "." not in name
