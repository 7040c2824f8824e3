import math
from itertools import pairwise

from matplotlib.backends.backend_agg import FigureCanvasAgg

from study.figures.outcome.findings import FindingsFigure, Row
from study.report.html import BROAD

LONG = "Arora's upper bound on the supervised loss grows faster than K, and this sentence takes two lines or three."
ROWS = (
    Row("Hard for all.", "undecided", "+1.10 [0.40, 1.80] against 1", 1.1, 0.4, 1.8, (), (1, math.inf), 1.0),
    Row(LONG, "contradicted", "−3.1 [−4.0, −2.2] %", -3.1, -4.0, -2.2, (-3.0, -3.2), (0, math.inf), 0.0),
    Row("No change.", "supported", "+0.0 [−0.2, 0.2]", 0.0, -0.2, 0.2, (), (-0.5, 0.5), 0.0),
)


def boxes():
    """The drawing, and each strip's and its words' boxes in pixels, from above."""
    drawing = FindingsFigure().draw(ROWS)
    canvas = FigureCanvasAgg(drawing)
    canvas.draw()
    renderer = canvas.get_renderer()
    return drawing, [(axes.get_tightbbox(renderer), axes.texts[0].get_window_extent(renderer)) for axes in drawing.axes]


def test_the_words_of_a_claim_stand_over_its_strip_and_in_no_other_s_way():
    drawing, found = boxes()
    width, height = drawing.get_size_inches() * drawing.dpi
    for (strip, words), axes in zip(found, drawing.axes, strict=True):
        assert words.y0 >= axes.get_window_extent().y1
        assert words.x1 <= width
        assert strip.y0 >= 0
        assert strip.y1 <= height
    for (above, _), (below, _) in pairwise(found):
        assert below.y1 <= above.y0


def test_it_is_narrow_enough_to_be_shown_whole_on_a_telephone():
    assert 96 * FindingsFigure().draw(ROWS).get_figwidth() <= BROAD


def test_the_upright_line_is_what_the_effect_is_held_against():
    lines = [axes.lines[0].get_xdata() for axes in FindingsFigure().draw(ROWS).axes]
    assert [set(x) for x in lines] == [{1.0}, {0.0}, {0.0}]
