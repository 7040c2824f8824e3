import math

import pytest
from matplotlib.figure import Figure

from study.figures.curve import curve, cut_at_percent, draw_curve, within_percent


def axes_with(*curves):
    axes = Figure().subplots()
    for one in curves:
        draw_curve(one, axes, "k")
    return axes


def test_the_axis_of_a_percentage_ends_at_its_bounds_and_shows_a_point_there_whole():
    axes = axes_with(curve("", (4, 8), (100, 2), (14, 11)))
    within_percent([axes])
    assert axes.get_ylim() == (0, 100)
    points, caps, bars = axes.containers[0]
    assert not points.get_clip_on()
    assert all(one.get_clip_on() for one in (*caps, *bars))


def test_an_axis_within_the_bounds_stays_as_it_is():
    axes = axes_with(curve("", (4, 8), (40, 50), (2, 2)))
    before = axes.get_ylim()
    within_percent([axes])
    assert axes.get_ylim() == before


@pytest.mark.parametrize(
    ("mean", "half", "told"),
    [
        ((100, 97), (14, 14), " Intervals are cut at 100 %: the longest goes to 114 %."),
        ((3, 97), (12, 2), " Intervals are cut at 0 %: the longest goes to −9 %."),
        ((100, 50), (math.nan, 20), ""),
        ((99.9, 50), (0.2, 1), ""),  # less than is seen
    ],
)
def test_how_far_a_cut_interval_goes_is_told(mean, half, told):
    assert cut_at_percent([curve("", (4, 8), mean, half)]) == told
