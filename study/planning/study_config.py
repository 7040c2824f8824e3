"""The settings of a study: a named question = base config + search space + seeds (+ sampler)."""

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, field
from typing import Annotated, Any, Literal, Self

import pydantic
from pydantic import AllowInfNan, BeforeValidator, ConfigDict, Strict

from study.config import ConfigError, TrialConfig, explained, no_such_key, takes, with_value
from study.space import Cell, Grid, SearchSpace, from_plain, grid, grid_cells, random_cells, to_plain
from study.storage import yaml_text
from study.storage.store import Checkpoints

SAMPLERS = ("grid", "random", "tpe")
PRIMARY = {"linear.features.top1": "max"}
LEAST_SHARE = 1e-4
"""Of a core or a GPU, that Ray can give to a trial."""


def _seeds(seeds: Any) -> tuple[int, ...]:
    """A count as that many seeds from 0."""
    found = tuple(range(seeds)) if type(seeds) is int else seeds
    listed = isinstance(found, list | tuple)
    if (
        not listed
        or not found
        or not all(type(s) is int and 0 <= s < 2**63 for s in found)
        or len(set(found)) < len(found)
    ):
        raise ValueError(
            f"seeds: takes a count such as 3, or distinct whole numbers from 0 to 2**63 - 1; got {seeds!r}"
        )
    return tuple(found)


Saved = Literal["all", "best", "none"]
Text = Annotated[str, Strict(), takes("a text")]
Whole = Annotated[int, Strict(), takes("a whole number")]
Number = Annotated[
    Annotated[int, Strict()] | Annotated[float, Strict(), AllowInfNan(False)], takes("a finite number such as 0.5")
]


@pydantic.dataclasses.dataclass(frozen=True, config=ConfigDict(extra="forbid"))
class StudyConfig:
    """A named question: which cells of `space`, each under every seed, on top of `base`.

    `space` maps a dotted config path to grid, choice, uniform, loguniform or randint; a list of values is a grid. The
    sampler "grid" takes the product of the dimensions; "random" draws `cells` cells; "tpe" (Optuna's, multi-objective
    where `metrics` has several) proposes `cells` cells, each from what the finished ones gave, and so does any class of
    optuna.samplers, as "optuna:NAME". Where `space` is a list of spaces, a cell is of one of them: so a dimension can
    be of some strategies only, such as `negatives.hi` of difficulty. `metrics` maps a metric to "max" or "min".
    `cpus` and `gpus` are what a trial is given: it runs on a GPU where `gpus` is above 0 (a fraction shares one), else
    on the CPU, whatever is visible. With `gpus` of 2 and more a process on each encodes its share of every batch; on
    the CPU as many as `processes` do. It writes a checkpoint every `checkpoint_every` epochs and keeps the last
    `checkpoints` of them; a finished one keeps none, or its last with `keep_checkpoint`. `save_encoders`: whose trained
    encoders stay in the storage, "all", that of the "best" trial, or "none"; by default all, where they are small.
    `until_decided`: once every cell has the study's seeds, further ones are added, to at most `max_seeds` of a cell, to
    the cells that an undecided claim needs; its findings then pay for looking after each.
    `prune`: "median" gives up cells, with all of their seeds, whose first seed lags behind the median of the finished
    ones in accuracy on the way (`study.trial.probes.pruning`). They count nowhere, and a run without it resumes them.
    Raises ConfigError with every problem.
    """

    name: Text
    _: KW_ONLY
    base: Annotated[TrialConfig, takes("a TrialConfig, in study.yaml a mapping such as {epochs: 10}")] = field(
        default_factory=TrialConfig
    )
    space: Annotated[Any, BeforeValidator(from_plain)] = field(default_factory=dict)
    seeds: Annotated[Any, BeforeValidator(_seeds)] = (0,)
    question: Text = ""
    sampler: Text = "grid"
    cells: Annotated[Annotated[int, Strict()] | None, takes("a whole number")] = None
    metrics: Annotated[dict[str, Any], takes("a mapping such as {linear.features.top1: max}")] = field(
        default_factory=PRIMARY.copy
    )
    cpus: Number = 1
    gpus: Number = 0
    processes: Whole = 1
    checkpoint_every: Whole = 1
    checkpoints: Whole = 2
    keep_checkpoint: Annotated[bool, Strict(), takes("true or false")] = False
    save_encoders: Annotated[Saved | None, takes("all, best or none")] = None
    until_decided: Annotated[bool, Strict(), takes("true or false")] = False
    max_seeds: Whole = 20
    prune: Annotated[Literal["median"] | None, takes("median")] = None

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, validate: pydantic.ModelWrapValidatorHandler[Self]) -> Self:
        study = explained(cls, values, validate)
        if problems := list(_problems(study)):
            raise ConfigError(problems)
        return study

    @property
    def spaces(self) -> tuple[SearchSpace, ...]:
        """The spaces whose cells are taken together: usually one."""
        return (self.space,) if isinstance(self.space, Mapping) else tuple(self.space)

    @property
    def threads(self) -> int:
        """Of the processor, for each trial: its CPUs, at least one."""
        return max(int(self.cpus), 1)

    @property
    def ranks(self) -> int:
        """Processes that share each step of a trial: one a GPU, or as many as are set on the CPU."""
        return int(self.gpus) if self.gpus > 1 else self.processes

    @property
    def kept(self) -> Checkpoints:
        """When a trial writes its state, and what is kept of it."""
        saves = self.save_encoders != "none"
        return Checkpoints(self.checkpoint_every, self.checkpoints, self.keep_checkpoint, saves)

    def config(self, cell: Cell) -> TrialConfig:
        """The base with a cell's values in place."""
        plain = self.base.plain()
        for path, value in _wholes_first(cell):
            plain = with_value(plain, path, value)
        return TrialConfig(**plain)

    def known_cells(self) -> list[Cell]:
        """The cells that are known beforehand: all of a grid or random study, none of a tpe study."""
        if self.sampler == "grid":
            return [cell for space in self.spaces for cell in grid_cells(space)]
        return list(random_cells(self.space, self.cells or 0, seed=0)) if self.sampler == "random" else []

    @property
    def searches(self) -> bool:
        """Whether it chooses its cells by what the finished ones gave: by TPE or another sampler of Optuna's."""
        return self.sampler == "tpe" or self.sampler.startswith("optuna:")

    def plain(self) -> dict[str, Any]:
        """As study.yaml holds it."""
        plain = {key: getattr(self, key) for key in keys()}
        plain |= {"seeds": list(self.seeds), "base": self.base.plain(), "space": to_plain(self.space)}
        return {key: value for key, value in plain.items() if value is not None}

    def to_yaml(self, modules: Sequence[str] = ()) -> str:
        """The resolved study, complete: `study run` of it is the same study. `modules` register what it names."""
        return yaml_text.write(self.plain() | ({"modules": list(modules)} if modules else {}))

    def with_overrides(self, overrides: Mapping[str, Any]) -> Self:
        """A copy with values set by dotted path: of the base config, or of the study (seeds, cells, sampler, cpus …).

        A value for a path of the space takes that dimension's place: a list makes a grid of it, another value fixes it.
        """
        if not overrides:
            return self
        fields = tuple(self.base.plain())
        own = [key for key in keys() if key not in ("base", "space")]
        unknown = [path for path in overrides if path.split(".")[0] not in fields and path not in own]
        if unknown:
            raise ConfigError(f"{path}: {_set_instead(path, [*fields, *own])}" for path in unknown)
        if "seed" in overrides:
            raise ConfigError(
                ["seed: a study's seeds are its replicates; set seeds=3, or seeds=[3] for this one alone"]
            )
        changes: dict[str, Any] = {path: value for path, value in overrides.items() if path in own}
        base, spaces = self.base.plain(), [dict(space) for space in self.spaces]
        for path, value in _wholes_first(overrides):
            if path in changes:
                continue
            whole = next((p for p in spaces[0] if path.startswith(f"{p}.") and all(p in s for s in spaces)), None)
            if whole is not None:
                raise ConfigError(
                    [f"{path}: the space gives {whole} as a whole, so this changes nothing; set {whole}=… instead"]
                )
            holders = [space for space in spaces if path in space]
            if holders and isinstance(value, list):
                try:
                    for space in holders:
                        space[path] = grid(*value)
                except ValueError as error:
                    raise ConfigError([f"{path}: {error}"]) from None
                continue
            spaces = [{p: d for p, d in s.items() if p != path and not p.startswith(f"{path}.")} for s in spaces]
            base = with_value(base, path, value)
        of_old_kind = spaces[0] if isinstance(self.space, Mapping) else spaces
        return dataclasses.replace(self, base=TrialConfig(**base), space=of_old_kind, **changes)


def is_name(text: str) -> bool:
    """Whether a study can bear this name, which names a folder."""
    known = bool(text) and len(text) <= 100 and all(c.isalnum() or c in "-_." for c in text)
    return known and not text.startswith(".")


def keys() -> tuple[str, ...]:
    """The arguments of a study, which are the keys of study.yaml."""
    return tuple(one.name for one in dataclasses.fields(StudyConfig))


def _wholes_first(values: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """By depth of the path: `encoder` before `encoder.width`, which it would undo."""
    return sorted(values.items(), key=lambda item: item[0].count("."))


def _set_instead(path: str, known: Sequence[str]) -> str:
    first, _, rest = path.partition(".")
    if first in ("base", "space"):
        return f"no such key; set what is in it, such as {rest or 'epochs'}=…"
    return no_such_key(first, known)


def _problems(study: StudyConfig) -> Iterator[str]:
    if not is_name(study.name):
        yield f"name: up to 100 letters, digits, '-', '_' and '.' only (it names a folder), got {study.name!r}"
    if study.sampler not in SAMPLERS and not study.searches:
        from study.planning.search import near_sampler  # Optuna

        yield f"sampler: {study.sampler!r} is none of {', '.join(SAMPLERS)}, optuna:NAME{near_sampler(study.sampler)}"
    elif study.sampler == "grid":
        if study.cells is not None:
            yield 'cells: a grid has as many cells as its product; drop cells, or set sampler="random" or "tpe"'
        endless = [path for space in study.spaces for path, d in space.items() if not isinstance(d, Grid)]
        if endless:
            yield (
                f"space: a grid needs finitely many values, but {', '.join(endless)} is a range; "
                'write grid(…), or set sampler="random" or "tpe" and cells=N'
            )
    elif not study.cells or study.cells < 1:
        yield f'cells: sampler "{study.sampler}" needs the number of cells to draw, such as cells=20'
    elif not study.spaces or not all(study.spaces):
        yield f'space: sampler "{study.sampler}" needs something to draw; name a dimension, or set sampler="grid"'
    if study.base.seed:
        yield f"base.seed: a study's seeds are its replicates; write seeds=[{study.base.seed}]"
    fields = list(study.base.plain())
    for path in (path for space in study.spaces for path in space):
        key = path.split(".")[0]
        if key == "seed":
            yield "space: seeds are replicates, not a dimension; write seeds=3"
        elif key not in fields:
            yield f"space.{path}: {no_such_key(key, fields)}"
    for metric, direction in study.metrics.items():
        if direction not in ("max", "min"):
            yield f"metrics.{metric}: the direction is max or min, got {direction!r}"
    if study.cpus < LEAST_SHARE:
        yield f"cpus must be above 0, got {study.cpus}; a fraction such as 0.5 shares a core between trials"
    whole = study.gpus >= 0 and study.gpus == int(study.gpus)
    if not whole and not LEAST_SHARE <= study.gpus <= 1:
        yield (
            f"gpus must be 0 (the CPU), a whole number, or a fraction such as gpus=0.25, which shares a GPU between "
            f"trials; got {study.gpus}"
        )
    yield from _unshared(study)
    if study.until_decided:
        yield from _undecidable(study)
    if study.prune and (study.searches or study.until_decided):
        other = f'sampler "{study.sampler}" decides by' if study.searches else "until_decided: claims need"
        yield f"prune: {other} cells that have all of their seeds; leave prune out"
    for key in ("checkpoint_every", "checkpoints"):
        if (value := getattr(study, key)) < 1:
            yield f"{key} must be a whole number of at least 1, got {value!r}"


def _unshared(study: StudyConfig) -> Iterator[str]:
    """Problems of the number of processes."""
    if study.processes < 1:
        yield f"processes must be a whole number of at least 1, got {study.processes}"
    elif study.processes > 1 and study.gpus:
        yield f"processes: a trial with gpus={study.gpus:g} has one on each GPU; leave processes out, or set gpus=0"
    elif study.processes > max(study.cpus, 1):
        yield (
            f"processes={study.processes} of a trial need a core each, and cpus={study.cpus:g}; set "
            f"cpus={study.processes}, or fewer processes"
        )


def _undecidable(study: StudyConfig) -> Iterator[str]:
    """Problems of a study that is to run until its claims are decided."""
    if study.sampler != "grid":
        why = "chooses its cells by their accuracy" if study.searches else "draws its cells"
        yield (
            f'until_decided: claims compare the cells of a grid, and sampler "{study.sampler}" {why}; set sampler=grid '
            "and lists of values, or leave out --until-decided"
        )
    if study.max_seeds <= len(study.seeds):
        yield (
            f"max_seeds={study.max_seeds} leaves none to add to the {len(study.seeds)} seeds of the study; set "
            f"max_seeds={len(study.seeds) + 10}, or fewer seeds"
        )
