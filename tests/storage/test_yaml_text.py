"""YAML: numbers as users write them, keys that come twice, and nothing but plain values."""

import pytest
import yaml

from study.storage.yaml_text import DoubledKeys, read, write


@pytest.mark.parametrize("text", ["1e-3", "-2E+05", "1.e6", "+1e0"])
def test_a_number_with_an_exponent_is_a_number(text: str) -> None:
    assert read(text) == float(text)


def test_a_text_that_looks_like_such_a_number_stays_a_text() -> None:
    plain = {"quoted": "1e-3", "word": "e5", "number": 1e-3, "list": ["2e6", 2e6, None, True]}
    assert read(write(plain)) == plain
    assert read("'1e-3'") == "1e-3"


def test_keys_that_come_twice_are_named_by_their_paths() -> None:
    with pytest.raises(DoubledKeys) as caught:
        read("a: {b: 1, c: 2, b: 3}\nd: [{e: 1, e: 2}]\na: 4")
    assert caught.value.paths == ["a", "a.b", "d.e"]
    assert read("a: {b: 1}\nc: {b: 1}") == {"a": {"b": 1}, "c": {"b": 1}}
    assert read("") is None


def test_nothing_but_plain_values_is_made() -> None:
    with pytest.raises(yaml.YAMLError):
        read("!!python/object/apply:os.getcwd []")
