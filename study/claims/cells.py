"""A study's cells as a claim looks for them: by the names of their components."""

import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from study.bounds.probabilities import expected_draws
from study.results import Results, label
from study.results.cells import cell_numbers

ALL = ("all", "default")
INFO_NCE = ("nt_xent", "info_nce", "default")
ORACLE = ("without_same_class",)
CONTRASTIVE = ("simclr", "moco", "memory_bank")
NO_NEGATIVES = ("simsiam", "byol", "directpred", "swav", "supervised")
PLAIN = {"method": CONTRASTIVE, "negatives": ALL, "objective": INFO_NCE}
"""Of a claim that names no others: contrastive learning by InfoNCE with all its negatives."""

RATE = "optimizer.learning_rate"

Mask = NDArray[np.bool_]
Names = Mapping[str, tuple[str, ...]]
"""Path → names of components, with any parameters, or whole values as `label` shows them, such as `ring(outer=0.2)`."""


class Cells:
    """Every cell of which a trial has started, whether or not it came to its end."""

    def __init__(self, results: Results) -> None:
        self.varying, self._trials = results.varying, results.frame
        self.of_trial: NDArray[np.intp] = cell_numbers(self._trials, self.varying)
        first = ~pd.Series(self.of_trial).duplicated().to_numpy()
        self.frame = self._trials.loc[first, self.varying].reset_index(drop=True)
        self._shown = {path: [label(value) for value in self.frame[path]] for path in self.varying}

    def __len__(self) -> int:
        return len(self.frame)

    def named(self, names: Names) -> Mask:
        """[cells]: which have one of the names at every path; none where a path does not vary."""
        found = np.full(len(self), set(names) <= set(self.varying))
        for path, wanted in names.items():
            shown = self._shown.get(path, [""] * len(self))
            found &= np.array([_place(value, wanted) < len(wanted) for value in shown], dtype=bool)
        return found

    def plain(self, apart_from: Collection[str] = ()) -> Mask:
        """[cells]: which are as `PLAIN` in what varies, apart from these paths, and met negatives in training."""
        wanted = {path: names for path, names in PLAIN.items() if path in self.varying and path not in apart_from}
        return self.named(wanted) & (self._k != 0 if "method" not in apart_from else True)

    def contexts(self, paths: Collection[str]) -> Iterator[tuple[str, list[int]]]:
        """(in words, the cells) of each set of cells that differ in these paths only."""
        others = [path for path in self.varying if path not in paths]
        sets: dict[tuple[str, ...], list[int]] = {}
        for cell in range(len(self)):
            sets.setdefault(tuple(self._shown[path][cell] for path in others), []).append(cell)
        for members in sets.values():
            yield self.words(members[0], others), members

    def numbers(self, path: str) -> NDArray[np.float64]:
        """[cells] of a path, or of the parameter of a component that varies, as `negatives.lo`; NaN for what is none.
        Where K follows from the batch, B − 1 is taken for it."""
        column = self.paths_of(path)[0]
        component, _, parameter = path.rpartition(".")
        if column not in self.varying:
            found = [_given(parameter).search(text) for text in self._shown.get(component, [""] * len(self))]
            return pd.to_numeric(pd.Series([m and m[1] for m in found]), errors="coerce").to_numpy(dtype=float)
        return pd.to_numeric(self.frame[column], errors="coerce").to_numpy(dtype=float) - (column != path)

    def paths_of(self, path: str) -> list[str]:
        """The path of its numbers, and those that vary with them: of K from the batch, the learning rate too if it is
        made from the batch, one of each."""
        if path != "k" or "k" in self.varying:
            return [path]
        pair = {"batch_size", RATE}
        follows = pair <= set(self.varying) and self.frame.groupby("batch_size")[RATE].nunique().max() == 1
        return ["batch_size", RATE] if follows else ["batch_size"]

    def rank(self, cell: int, names: Names) -> list[int]:
        """The places of a cell's values among these names: what comes first is preferred."""
        return [_place(self._shown[path][cell], wanted) for path, wanted in names.items()]

    def parameters(self, cell: int, paths: Collection[str]) -> list[str]:
        """Those of the components at these paths, without their names."""
        return [self._shown[path][cell].partition("(")[2] for path in paths]

    def words(self, cell: int, paths: Collection[str] | None = None, *, but: str = "") -> str:
        """A cell's values, or those at these paths; `but`: a component's parameter that is left out of them."""
        component, _, parameter = but.rpartition(".")
        shown = {path: self._shown[path][cell] for path in self.varying if paths is None or path in paths}
        if component in shown:
            shown[component] = _given(parameter).sub("", shown[component])
        return ", ".join(f"{path}={value}" for path, value in shown.items())

    @cached_property
    def draws(self) -> NDArray[np.float64]:
        """[cells]: how many draws hold every class of the test split, on average; ∞ where it is not known."""
        return self._of_priors(lambda prior: expected_draws(prior) if len(prior) else np.inf)

    @cached_property
    def classes(self) -> NDArray[np.float64]:
        """[cells]: 1 / Σ p², the number of classes as two draws meet them, C where they are equal; NaN if not known."""
        return self._of_priors(lambda prior: float(1 / (prior @ prior)) if len(prior) else np.nan)

    def _of_priors(self, of: Callable[[NDArray[np.float64]], float]) -> NDArray[np.float64]:
        """[cells]: a function of the class priors [C] of the test split, which are empty where they are not known."""
        texts = self._trials.groupby(self.of_trial)["class_counts"].agg(lambda texts: max(texts, key=len))
        known = {text: of(_prior(text)) for text in texts.unique()}
        return texts.map(known).to_numpy(dtype=float)

    @cached_property
    def _k(self) -> NDArray[np.float64]:
        """[cells]: the measured K; NaN where none was."""
        if "train.k" not in self._trials:
            return np.full(len(self), np.nan)
        return self._trials["train.k"].groupby(self.of_trial).mean().to_numpy(dtype=float)


def _given(parameter: str) -> re.Pattern[str]:
    """A parameter in a component's label, with the mark before it."""
    return re.compile(rf"[(\s]{re.escape(parameter)}=([^,)]+)")


def _place(shown: str, wanted: tuple[str, ...]) -> int:
    """Where a value stands among names, whole or by its component; behind them if it does not."""
    for name in (shown, shown.partition("(")[0]):
        if name in wanted:
            return wanted.index(name)
    return len(wanted)


def _prior(class_counts: str) -> NDArray[np.float64]:
    counts = np.array([count for count in json.loads(class_counts) if count], dtype=float)
    return counts / counts.sum()
