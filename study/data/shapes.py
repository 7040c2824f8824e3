"""The built-in data set: 20 shapes that are WordNet nouns, drawn at random poses, colours and backgrounds."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from models.registry import UnknownName, added
from study.data.dataset import DATASETS, MOST_HELD_OUT, Dataset, DataShape, DataSource, Split, proportional_counts

SIDE = 32
_OVERSAMPLING = 4
_CHUNK = 1000

Points = np.ndarray
"""The vertices of a polygon as complex numbers, within the unit disc."""


class Face(NamedTuple):
    """One polygon of a drawing."""

    points: Points
    brightness: float = 1.0
    """Between 0 and 2. The faces of a solid average about 1, so that solids are no darker than flat shapes."""


class Shape(NamedTuple):
    """A class: its WordNet 3.0 synset, the colour of its meaning, and its faces at a parameter u in [0, 1)."""

    synset: str
    colour: tuple[float, float, float]
    outline: Callable[[float], list[Face]]


def _polygon(*points: complex) -> list[Face]:
    return [Face(np.array(points))]


def _regular(corners: int, inner_radius: float | None = None) -> list[Face]:
    """A regular polygon, or the star whose reflex corners lie at `inner_radius`."""
    if inner_radius is None:
        return [Face(1j * np.exp(2j * np.pi * np.arange(corners) / corners))]
    tips = 1j * np.exp(1j * np.pi * np.arange(2 * corners) / corners)
    return [Face(tips * np.where(np.arange(2 * corners) % 2, inner_radius, 1))]


def _arc(start: float, stop: float, aspect: float = 1.0) -> Points:
    """An arc of the unit circle between two angles in radians, its height times `aspect`."""
    angle = np.linspace(start, stop, 33)
    return np.cos(angle) + 1j * aspect * np.sin(angle)


def _box(aspect: float) -> list[Face]:
    corner = (1 + 1j * aspect) / abs(1 + 1j * aspect)
    return _polygon(corner, -corner.conjugate(), -corner, corner.conjugate())


def _ribbon(curve: Points, width: float) -> list[Face]:
    along = np.gradient(curve)
    across = 1j * width * along / np.abs(along)
    return [Face(np.concatenate([curve + across, (curve - across)[::-1]]))]


def _sector(u: float) -> list[Face]:
    half = math.radians(20 + 25 * u)
    return [Face(np.append(1.5 * _arc(-half, half), 0) - 0.75)]


def _crescent(u: float) -> list[Face]:
    shift = 0.45 + 0.3 * u
    tip = math.acos(shift / 2)
    return [Face(np.concatenate([_arc(tip, 2 * math.pi - tip), shift + _arc(math.pi + tip, math.pi - tip)]))]


def _spiral(u: float) -> list[Face]:
    turn = np.linspace(0, 2 * math.pi * (1.8 + 0.6 * u), 70)
    return _ribbon((0.06 + 0.84 * turn / turn[-1]) * np.exp(1j * turn), 0.1)


def _wave(u: float) -> list[Face]:
    x = np.linspace(-0.95, 0.95, 50)
    return _ribbon(x + 1j * (0.2 + 0.15 * u) * np.sin(2 * math.pi * x), 0.11)


def _cube(u: float) -> list[Face]:
    corners = np.exp(1j * np.pi * (np.arange(6) / 3 + 0.5))
    inner = (u - 0.5) * 0.3j
    quads = [corners[[5, 0, 1]], corners[[1, 2, 3]], corners[[3, 4, 5]]]
    return [Face(np.append(quad, inner), light) for quad, light in zip(quads, (1.4, 1.0, 0.6), strict=True)]


def _pyramid(u: float) -> list[Face]:
    edge = -0.2 + 0.6 * u - 1j
    return [Face(np.array([1j, -0.9 - 0.6j, edge]), 1.3), Face(np.array([1j, edge, 0.9 - 0.6j]), 0.6)]


def _cylinder(u: float) -> list[Face]:
    width, lid = 0.5 + 0.15 * u, 0.35
    side = np.concatenate([0.75j + width * _arc(0, math.pi, lid), -0.75j + width * _arc(math.pi, 2 * math.pi, lid)])
    return [Face(side, 0.85), Face(0.75j + width * _arc(0, 2 * math.pi, lid), 1.4)]


# Colours: classical multidimensional scaling of 1 − wup (WordNet 3.0) to three axes, turned to fill the RGB cube.
SHAPES: dict[str, Shape] = {
    "circle": Shape("circle.n.01", (0.00, 0.82, 0.57), lambda u: [Face(_arc(0, 2 * math.pi))]),
    "ellipse": Shape("ellipse.n.01", (0.05, 0.77, 0.54), lambda u: [Face(_arc(0, 2 * math.pi, 0.4 + 0.3 * u))]),
    "semicircle": Shape("semicircle.n.01", (0.16, 0.63, 0.45), lambda u: [Face(_arc(0, math.pi) - 0.4j)]),
    "sector": Shape("sector.n.01", (0.16, 0.63, 0.45), _sector),
    "square": Shape("square.n.01", (0.02, 0.15, 0.15), lambda u: _box(1.0)),
    "rectangle": Shape("rectangle.n.01", (0.02, 0.13, 0.14), lambda u: _box(0.35 + 0.35 * u)),
    "rhombus": Shape("rhombus.n.01", (0.02, 0.14, 0.15), lambda u: _polygon(1, (w := 0.4 + 0.3 * u) * 1j, -1, -w * 1j)),
    "trapezoid": Shape(
        "trapezoid.n.01",
        (0.04, 0.26, 0.22),
        lambda u: _polygon(-0.95 - 0.5j, 0.95 - 0.5j, (w := 0.3 + 0.3 * u) + 0.5j, -w + 0.5j),
    ),
    "right_triangle": Shape(
        "right_triangle.n.01",
        (0.03, 0.37, 0.29),
        lambda u: _polygon(-0.8 - (h := 0.4 + 0.4 * u) * 1j, 0.8 - h * 1j, -0.8 + h * 1j),
    ),
    "isosceles_triangle": Shape(
        "isosceles_triangle.n.01", (0.03, 0.37, 0.29), lambda u: _polygon(1j, -(w := 0.4 + 0.4 * u) - 0.7j, w - 0.7j)
    ),
    "pentagon": Shape("pentagon.n.03", (0.08, 0.40, 0.31), lambda u: _regular(5)),
    "hexagon": Shape("hexagon.n.01", (0.08, 0.40, 0.31), lambda u: _regular(6)),
    "pentacle": Shape("pentacle.n.01", (0.08, 0.70, 0.50), lambda u: _regular(5, 0.35 + 0.1 * u)),
    "hexagram": Shape("hexagram.n.01", (0.08, 0.70, 0.50), lambda u: _regular(6, 0.5 + 0.1 * u)),
    "crescent": Shape("crescent.n.01", (1.00, 0.87, 0.05), _crescent),
    "spiral": Shape("spiral.n.01", (1.00, 0.87, 0.05), _spiral),
    "wave": Shape("wave.n.07", (1.00, 0.87, 0.05), _wave),
    "cube": Shape("cube.n.01", (1.00, 0.29, 0.95), _cube),
    "pyramid": Shape("pyramid.n.01", (0.96, 0.36, 0.88), _pyramid),
    "cylinder": Shape("cylinder.n.01", (0.89, 0.48, 0.74), _cylinder),
}


@DATASETS.register("shapes")
@dataclass(frozen=True, kw_only=True)
class Shapes(DataSource):
    """20 drawn shapes that are WordNet nouns, 32×32, built in; their priors, turns and colours can be set."""

    train_size: int = 4000
    """Training images to draw."""
    test_size: int = 1000
    """Test images to draw."""
    class_priors: Literal["uniform"] | float | tuple[float, ...] = "uniform"
    """Of both splits: uniform, the exponent s > 0 of a Zipf law (class c has weight c^−s), or a weight a class."""
    colour_semantics: float = 0.6
    """Share of an image's colour that its class's meaning sets, the rest being random: 0 = nothing, 1 = all of it."""
    drawing_seed: int = 0
    """Seed of the drawn images; apart from a trial's seed."""
    classes: tuple[str, ...] | None = added(None)
    """The shapes that are drawn, by name, such as (circle, square, cube); by default all 20."""
    turn: float = added(1.0)
    """Share of a full turn that a shape's angles lie in, in [0, 1], half to either side: few are learned sooner."""
    clutter: float = added(0.12)
    """Standard deviation of the background's colour from place to place, in [0, 1]: a plain one is learned sooner."""

    def __post_init__(self) -> None:
        super().__post_init__()
        least = len(self.chosen)
        for name in ("train_size", "test_size"):
            if (size := getattr(self, name)) < least:
                raise ValueError(f"{name} must be at least {least} (one image per class), not {size}")
        if 0 < (self.validation_size or 0) < least:
            raise ValueError(f"validation_size must be 0 or at least {least}, not {self.validation_size}")
        for name in ("colour_semantics", "turn", "clutter"):
            if not 0 <= (value := getattr(self, name)) <= 1:
                raise ValueError(f"{name} must lie between 0 and 1, not {value}")
        self.priors()

    @property
    def chosen(self) -> dict[str, Shape]:
        """The classes by name, in their order; ValueError for names that there are not, or fewer than two."""
        names = tuple(SHAPES) if self.classes is None else tuple(self.classes)
        if len(set(names)) < max(2, len(names)):
            raise ValueError(f"classes must be two or more different shapes, not {list(names)}; by default all 20")
        for name in names:
            if name not in SHAPES:
                raise UnknownName("shape", name, list(SHAPES))
        return {name: SHAPES[name] for name in names}

    def priors(self) -> np.ndarray:
        """π [C], the class priors of both splits."""
        count = len(self.chosen)
        match self.class_priors:
            case "uniform":
                weights = np.ones(count)
            case float() | int() as exponent if 0 < exponent < math.inf:
                weights = np.arange(1.0, count + 1) ** -exponent
            case tuple() | list() as weights if len(weights) == count and min(weights) > 0:
                weights = np.array(weights, dtype=float)
            case other:
                raise ValueError(
                    f'class_priors must be "uniform", a Zipf exponent above 0, or {count} weights above 0, '
                    f"not {other!r}"
                )
        return weights / weights.sum()

    def available(self) -> DataShape:
        return DataShape(self.train_size, self.test_size, tuple(self.chosen), (SIDE, SIDE), validation=self._drawn)

    @property
    def _drawn(self) -> int:
        """Images drawn for validation beside those to train on: by default a tenth as many."""
        tenth = max(min(self.train_size // 10, MOST_HELD_OUT), len(self.chosen))
        return tenth if self.validation_size is None else self.validation_size

    def fingerprint(self) -> dict[str, object]:
        sizes = {"train_size": self.train_size, "test_size": self.test_size, "validation_size": self._drawn}
        return super().fingerprint() | sizes

    def decode(self) -> Dataset:
        return Dataset(
            name="shapes",
            modality="image",
            train=self._draw(self.train_size, split=0),
            test=self._draw(self.test_size, split=1),
            validation=self._draw(self._drawn, split=2) if self._drawn else None,
            classes=tuple(self.chosen),
            notes={"source": "drawn", "synsets": [shape.synset for shape in self.chosen.values()]},
        )

    def _draw(self, size: int, split: int) -> Split:
        generator = np.random.default_rng([self.drawing_seed, split])
        counts = proportional_counts(self.priors(), size)
        labels = generator.permutation(np.repeat(np.arange(len(counts)), counts))
        chunks = [labels[start : start + _CHUNK] for start in range(0, size, _CHUNK)]
        meant, shapes, turn, clutter = self.colour_semantics, tuple(self.chosen.values()), self.turn, self.clutter
        images = [paint(some, meant, shapes=shapes, turn=turn, clutter=clutter, generator=generator) for some in chunks]
        return Split(np.concatenate(images), labels)


def paint(
    labels: np.ndarray,
    colour_semantics: float,
    *,
    shapes: Sequence[Shape] = tuple(SHAPES.values()),
    turn: float = 1.0,
    clutter: float = 0.12,
    generator: np.random.Generator,
) -> np.ndarray:
    """Images uint8 [N, 32, 32, 3] of the shapes `labels` [N], each at its own pose, colour and background."""
    count = len(labels)
    masks = list(_masks([shapes[label] for label in labels], turn, generator))
    layers = np.stack(masks).astype(np.float32) / 255  # [N, 32, 32, 2]
    light, coverage = 2 * layers[..., :1], layers[..., 1:]
    meaning = np.array([shape.colour for shape in shapes])[labels]  # [N, 3]
    colour = colour_semantics * meaning + (1 - colour_semantics) * generator.uniform(size=(count, 3))
    image = coverage * light * colour[:, None, None] + (1 - coverage) * _backgrounds(colour, clutter, generator)
    image += generator.normal(scale=0.04, size=image.shape)
    return (255 * image).round().clip(0, 255).astype(np.uint8)


def _masks(shapes: Iterable[Shape], turn: float, generator: np.random.Generator) -> Iterator[np.ndarray]:
    """For each shape an array [32, 32, 2]: half the brightness of the shape in each pixel, how much it covers."""
    side = SIDE * _OVERSAMPLING
    for shape in shapes:
        parameter, angle, size, right, down = generator.uniform(size=5)
        radius = side * (0.26 + 0.18 * size)
        centre = side / 2 + (side / 2 - radius) * complex(2 * right - 1, 2 * down - 1) * 0.8 + 1j * side / 2
        pose = radius * np.exp(2j * np.pi * (angle if turn == 1 else turn * (angle - 0.5)))
        canvas = Image.new("LA", (side, side))
        pen = ImageDraw.Draw(canvas)
        for face in shape.outline(parameter):
            points = np.conj(face.points) * pose + centre
            pen.polygon(list(zip(points.real, points.imag, strict=True)), fill=(int(127.5 * face.brightness), 255))
        yield np.asarray(canvas.reduce(_OVERSAMPLING))


def _backgrounds(colour: np.ndarray, clutter: float, generator: np.random.Generator) -> np.ndarray:
    """Mottled backgrounds [N, 32, 32, 3], each of a colour far from the shape's `colour` [N, 3]."""
    count = len(colour)
    base = generator.uniform(size=(count, 3))
    near = np.linalg.norm(base - colour, axis=1) < 0.5
    base[near] = (base[near] + 0.5) % 1
    coarse = generator.normal(scale=clutter, size=(count, 5, 5, 3))
    position = np.linspace(0, 4, SIDE)
    blend = np.maximum(0, 1 - np.abs(position[:, None] - np.arange(5)))  # bilinear interpolation [32, 5]
    return base[:, None, None] + np.einsum("yj,njkc,xk->nyxc", blend, coarse, blend, optimize=True)
