"""YAML: numbers as users write them, keys that come twice, and nothing but plain values."""

import pytest

from study.storage.yaml_text import NotYAML, read, write


@pytest.mark.parametrize("text", ["1e-3", "-2E+05", "1.e6", "+1e0"])
def test_a_number_with_an_exponent_is_a_number(text: str) -> None:
    assert read(text) == float(text)


def test_a_text_that_looks_like_such_a_number_stays_a_text() -> None:
    plain = {"quoted": "1e-3", "word": "e5", "number": 1e-3, "list": ["2e6", 2e6, None, True]}
    assert read(write(plain)) == plain
    assert read("'1e-3'") == "1e-3"


@pytest.mark.parametrize(
    ("text", "place"),
    [("a: {b: 1, c: 2, b: 3}", "line 1, column 17: found duplicate key"), ("a: 1\nc: 2\na: 4", "line 3, column 1")],
)
def test_a_key_that_comes_twice_is_refused_with_its_place(text: str, place: str) -> None:
    with pytest.raises(NotYAML, match=rf"{place}.*keep one"):
        read(text)


def test_a_key_may_come_again_in_another_mapping() -> None:
    assert read("a: {b: 1}\nc: {b: 1}") == {"a": {"b": 1}, "c": {"b": 1}}
    assert read("") is None


@pytest.mark.parametrize("word", ["no", "yes", "on", "off", "12:30"])
def test_words_that_old_yaml_takes_for_other_things_stay_words(word: str) -> None:
    assert read(f"class: {word}") == {"class": word}
    assert read(write({word: word})) == {word: word}


@pytest.mark.parametrize("text", ["!!python/object/apply:os.getcwd []", "a: [", "a: 1\n---\nb: 2"])
def test_nothing_but_plain_values_is_made(text: str) -> None:
    with pytest.raises(NotYAML, match="line"):
        read(text)
