import math

import pytest

from models.temperature import TEMPERATURES


def test_constant_stays() -> None:
    t = TEMPERATURES["constant"](value=0.2)
    assert {t.at(p) for p in (0.0, 0.3, 1.0)} == {0.2}


def test_cosine_goes_from_start_to_end() -> None:
    t = TEMPERATURES["cosine"](start=1.0, end=0.1)
    assert [t.at(p) for p in (0.0, 0.5, 1.0)] == pytest.approx([1.0, 0.55, 0.1])
    assert t.at(0.25) == pytest.approx(0.1 + 0.9 * (1 + math.sqrt(0.5)) / 2)


def test_cosine_with_whole_periods_comes_back() -> None:
    t = TEMPERATURES["cosine"](start=0.1, end=1.0, periods=2.0)
    assert [t.at(p) for p in (0.0, 0.25, 0.5, 1.0)] == pytest.approx([0.1, 1.0, 0.1, 0.1])


@pytest.mark.parametrize("value", [0.0, -0.1, math.inf, math.nan])
def test_temperatures_that_are_not_positive_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="above 0 and finite"):
        TEMPERATURES["constant"](value=value)
    with pytest.raises(ValueError, match="above 0 and finite"):
        TEMPERATURES["cosine"](start=0.1, end=value)
