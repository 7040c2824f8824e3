"""Base class and registry of figures, the pictures of a study, and a trial's as files."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from models.registry import Registry
from study.figures.records import Records

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Drawing

FIGURES = Registry("figure")
Table = Sequence[Mapping[str, Any]]
QUICK = {"axes.titley": 1.0}
"""Settings of matplotlib: a title's place is given, for which it else measures the axes over and over."""


class Picture(NamedTuple):
    """One drawing that a figure has to make."""

    name: str
    """of its file, without suffix"""
    info: Any
    """what is drawn: numbers and words, which can be tested without a renderer"""
    caption: str
    alt: str
    """what it shows, in words, for those who do not see it"""


class Figure(ABC):
    """A figure of a study, drawn from its results, or of a trial, drawn in the trial from its tables, or of both.

    Each gives the pictures that there are, none where nothing was measured; ValueError says why something is left out.
    Register the class, which has no parameters, with `@FIGURES.register("name")`.
    """

    section: ClassVar[str] = "Further figures"
    """the heading of the report that it stands under"""

    def of_study(self, records: Records) -> Iterable[Picture]:
        """The pictures of a study, in its report."""
        return ()

    def of_trial(self, tables: Mapping[str, Table], journal: Table) -> Iterable[Picture]:
        """The pictures of a trial, among its artifacts, from the tables of its evaluations and its journal."""
        return ()

    @abstractmethod
    def draw(self, info: Any) -> "Drawing":
        """The drawing of one info, in matplotlib."""


Undrawn = dict[str, str]
"""Figure → why it is left out."""


def registered() -> dict[str, Figure]:
    """Every figure by name; they travel with a trial, as a worker knows no user-defined ones."""
    return {name: FIGURES[name]() for name in FIGURES}


def study_pictures(
    figures: Mapping[str, Figure], records: Records, left_out: Undrawn
) -> Iterator[tuple[Figure, Picture]]:
    """Each picture of a study with its figure."""
    for name, figure in figures.items():
        try:
            pictures = list(figure.of_study(records))
        except Exception as error:
            left_out[name] = reason(error)
            continue
        yield from ((figure, picture) for picture in pictures)


def save_trial_figures(
    figures: Mapping[str, Figure], tables: Mapping[str, Table], folder: Path, *, journal: Table = ()
) -> Undrawn:
    """Draw every figure of a trial into files of the folder; returns what could not be drawn, and why."""
    left_out: Undrawn = {}
    for name, figure in figures.items():
        try:
            pictures = list(figure.of_trial(tables, journal))
        except Exception as error:  # a trained trial does not fail of its drawings
            left_out[name] = reason(error)
            continue
        for picture in pictures:
            try:
                save_picture(figure, picture, folder / f"{picture.name}.png")
            except Exception as error:
                left_out[picture.name] = reason(error)
    return left_out


def save_picture(figure: Figure, picture: Picture, path: Path) -> None:
    """Draw a picture into a file, of the kind that its suffix names.

    Letters stay letters in PDF, and are outlines in SVG, whose reader may lack the font.
    """
    import matplotlib as mpl

    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context({"pdf.fonttype": 42, "svg.fonttype": "path", "svg.hashsalt": "study", **QUICK}):
        drawing = figure.draw(picture.info)
        if path.suffix == ".png":
            _save_png(drawing, path)
        else:
            undated = {".pdf": {"CreationDate": None}, ".svg": {"Date": None}}.get(path.suffix)
            drawing.savefig(path, dpi=150, metadata=undated)


def _save_png(drawing: "Drawing", path: Path) -> None:
    """The pixels of `savefig`, which draws twice and packs them longer, in 0.75 of its time."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    drawing.set_dpi(150)
    FigureCanvasAgg(drawing).print_png(path, pil_kwargs={"compress_level": 1})


def reason(error: Exception) -> str:
    """Why something is left out: the words of a ValueError, which are meant for readers, else the error by its kind."""
    return str(error) if isinstance(error, ValueError) else f"{type(error).__name__}: {error}"
