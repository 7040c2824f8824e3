"""A data set of one's own: drawn gratings, whose class is their orientation."""

from dataclasses import dataclass

import numpy as np

from study import Study, TrialConfig, grid
from study.data import DATASETS, Dataset, DataShape, DataSource, Split

SIDE = 32


@DATASETS.register("gratings")
@dataclass(frozen=True, kw_only=True)
class Gratings(DataSource):
    """Sinusoidal gratings, 32×32, of so many orientations; frequency, phase, colour and noise are random."""

    orientations: int = 8
    """number of classes, evenly spaced over half a turn"""
    noise: float = 0.1
    """standard deviation of the noise, of the range of a pixel"""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.orientations < 2:
            raise ValueError(f"gratings: orientations must be at least 2, got {self.orientations}; such as 8")

    def available(self) -> DataShape:
        return DataShape(2000, 500, self._classes, (SIDE, SIDE))  # without it, a plan would draw them

    def decode(self) -> Dataset:
        train, test = (self._draw(count, seed) for count, seed in ((2000, 0), (500, 1)))
        return Dataset("gratings", "image", train, test, self._classes)

    @property
    def _classes(self) -> tuple[str, ...]:
        return tuple(f"{180 * i / self.orientations:g}°" for i in range(self.orientations))

    def _draw(self, count: int, seed: int) -> Split:
        draw = np.random.default_rng(seed)
        labels = np.arange(count) % self.orientations  # int64 [N]
        angle = np.pi * labels / self.orientations
        frequency, phase = draw.uniform(0.4, 1.2, count), draw.uniform(0, 2 * np.pi, count)
        y, x = np.mgrid[:SIDE, :SIDE]
        along = np.cos(angle)[:, None, None] * x + np.sin(angle)[:, None, None] * y  # [N, H, W]
        wave = (1 + np.sin(frequency[:, None, None] * along + phase[:, None, None])) / 2
        images = wave[..., None] * draw.uniform(0.5, 1, (count, 1, 1, 3))  # [N, H, W, 3]
        images = images + self.noise * draw.standard_normal(images.shape)
        return Split(np.clip(255 * images, 0, 255).astype(np.uint8), labels)


study = Study(
    "own-data",
    question="How many negatives does an orientation need?",
    base=TrialConfig(data="gratings", encoder={"name": "conv-small", "width": 16}, batch_size=128, epochs=5),
    space={"k": grid(16, 64)},
    seeds=2,
)
if __name__ == "__main__":
    print(study.run())
