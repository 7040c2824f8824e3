"""A registry names its entries, refuses what it does not know with the nearest name, and tells their parameters."""

import pickle

import pytest

from models.registry import Registry, UnknownName


@pytest.fixture
def colours() -> Registry:
    registry = Registry("colour")

    @registry.register("green", warm=False)
    class Green:
        """Like grass.

        More of it.
        """

        def __init__(self, *, depth: int = 3) -> None:
            self.depth = depth

    @registry.register("grey")
    def grey(*, light: float) -> float:
        """Like ash."""
        return light

    return registry


def test_entries_are_found_by_name_in_the_order_of_registration(colours: Registry) -> None:
    assert colours.names() == ("green", "grey") == tuple(colours)
    assert colours["green"](depth=1).depth == 1
    assert "green" in colours
    assert len(colours) == 2


def test_an_unknown_name_is_refused_with_the_nearest_and_survives_pickling(colours: Registry) -> None:
    with pytest.raises(UnknownName, match=r"unknown colour 'gren'; did you mean 'green'\? \(known: green, grey\)") as e:
        colours.get("gren")
    assert str(pickle.loads(pickle.dumps(e.value))) == str(e.value)
    with pytest.raises(UnknownName) as far:
        colours["xyz"]
    assert "did you mean" not in str(far.value)


def test_parameters_traits_and_the_first_line_are_told(colours: Registry) -> None:
    assert colours.parameters("green")["depth"].default == 3
    assert colours.parameters("grey")["light"].annotation is float
    assert colours.describe("green") == "Like grass."
    assert colours.trait("green", "warm") is False
    assert colours.trait("grey", "warm") is None


def test_a_taken_name_and_a_missing_docstring_are_refused(colours: Registry) -> None:
    with pytest.raises(ValueError, match="'grey' is already registered"):

        @colours.register("grey")
        def other() -> None:
            """Another."""

    with pytest.raises(ValueError, match="needs a docstring"):
        colours.register("blue")(lambda: None)


def test_a_docstring_that_only_the_base_has_describes_no_entry(colours: Registry) -> None:
    class Base:
        """Of all colours."""

    colours.register("blue")(type("Blue", (Base,), {}))
    assert colours.describe("blue") == ""
    colours.register("azure")(type("Azure", (Base,), {"__doc__": "\n    Of the sky.\n    "}))
    assert colours.describe("azure") == "Of the sky."


def test_a_name_of_a_family_is_refused(colours: Registry) -> None:
    @colours.family("paint")
    def paint(member: str) -> str:
        """A paint by its number."""
        return member

    with pytest.raises(ValueError, match=r"colour 'paint:7' is a name of the family paint:NAME; choose another name"):
        colours.register("paint:7")(paint)
