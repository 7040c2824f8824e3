"""From a config to a trial that can run: names looked up, defaults filled in, and every part checked against the rest.

Workers never look a name up: what a user's module registered in the driver does not exist there, so a trial carries
the objects themselves.
"""

import dataclasses
import functools
import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from models.augment import AUGMENTATIONS
from models.contrast import Contrast
from models.encoders import ENCODERS
from models.heads import HEADS
from models.methods import METHODS, Method
from models.multi_crop import small_views
from models.negatives import STRATEGIES, Strategy
from models.objectives import OBJECTIVES
from models.optim import OPTIMIZERS
from models.registry import Registry, UnknownName, in_identity
from models.temperature import TEMPERATURES
from study.config import Component, ConfigError, TrialConfig, build, plain_value, split_component
from study.data import DATASETS, DataShape
from study.evaluation import EVALUATIONS
from study.planning.beside import check_on_the_way, check_transfer, listed
from study.planning.classes import Offer, check_classes
from study.planning.data import told_of
from study.planning.encoders import absolute, content_digest, features_note, for_size, misfit, too_large_for, undivided
from study.planning.small_views import check_small_views
from study.storage.code import digest_of
from study.trial.class_synsets import Meaning, find_meaning
from study.trial.trial import Parts, Trial

REGISTRIES: dict[str, Registry] = {
    "data": DATASETS,
    "encoder": ENCODERS,
    "head": HEADS,
    "augmentation": AUGMENTATIONS,
    "method": METHODS,
    "objective": OBJECTIVES,
    "negatives": STRATEGIES,
    "temperature": TEMPERATURES,
    "optimizer": OPTIMIZERS,
    "evaluations": EVALUATIONS,
}
"""The registry that each field of a config takes its names from."""


def settable(registry: Registry, name: str) -> dict[str, inspect.Parameter]:
    """The parameters of an entry that are the user's: not those that the data, the schedule or the batch supplies."""
    supplied = ("vocabulary_size", "input_size", "temperature", "log_weight")
    parameters = registry.parameters(name).items()
    return {n: p for n, p in parameters if n not in supplied and "Tensor" not in str(p.annotation)}


@dataclass(frozen=True)
class Resolved:
    """One component: its canonical form, what of it is the trial's identity, and the object."""

    plain: dict[str, Any]
    identity: dict[str, Any]
    value: Any
    code: str
    """digest of a user's own: see `study.storage.code`"""
    places: dict[str, Any]
    """parameters that say where files lie: their content is part of the identity instead"""


def component(field: str, value: Component) -> Resolved:
    """Look a component up, check its parameters and construct it; ConfigError with the field's path on each line."""
    registry = DATASETS if field == "transfer" else REGISTRIES[field]
    try:
        entry, params = build(registry, value, settable)
        later = field in CALLED_LATER and (not isinstance(entry, type) or issubclass(entry, torch.nn.Module))
        params |= (files := {n: absolute(params[n]) for n in _files(registry, value, params)})
        digests = {n: content_digest(n, path) for n, path in files.items()}
        made = functools.partial(entry, **params) if later else entry(**params)
        if field in TRY_OUT:
            TRY_OUT[field](made)
    except ConfigError as error:
        raise ConfigError(f"{field}.{problem}" for problem in error.problems) from None
    except UnknownName as error:
        raise ConfigError([f"{field}: {error}{'' if split_component(value)[0] in registry else OWN}"]) from None
    except ValueError as error:
        raise ConfigError([f"{field}: {error}"]) from None
    except Exception as error:  # a mistake in the component's own code
        name, _ = split_component(value)
        raise ConfigError([f"{field}: {name} cannot be made ({type(error).__name__}: {error}); mend it"]) from None
    plain = {"name": split_component(value)[0], **params}
    kind = getattr(entry, "func", entry)  # of a family's member
    fields = dataclasses.fields(kind) if dataclasses.is_dataclass(kind) else ()
    no_part = {f.name for f in fields if not in_identity(f, params.get(f.name))}
    for trait in ("by_method", "as_before"):
        before = registry.trait(plain["name"], trait) or {}
        no_part |= {n for n, value in before.items() if params[n] == value}
    places = {f.name: params[f.name] for f in fields if f.metadata.get("identity") == "content"}
    return Resolved(
        plain, {n: v for n, v in plain.items() if n not in no_part} | digests, made, digest_of(entry), places
    )


def _files(registry: Registry, value: Component, params: Mapping[str, Any]) -> list[str]:
    """The parameters that name a file."""
    return [n for n in registry.trait(split_component(value)[0], "files") or () if params[n] is not None]


OWN = "; one of your own needs its module: `modules: [my_parts]` in study.yaml, `import my_parts` in Python"
CALLED_LATER = ("encoder", "head", "augmentation", "objective")
"""Fields whose entries may be functions that training calls; any other function makes the component, as a preset."""


def _try_strategy(strategy: Any) -> None:
    """A user-defined class fails here, and not where the first step asks it something."""
    if not isinstance(strategy, Strategy):
        raise ValueError(f"{type(strategy).__name__} is no strategy; subclass models.negatives.Strategy")


TRY_OUT: dict[str, Callable[[Any], Any]] = {
    "head": lambda head: head(8),
    "negatives": _try_strategy,
    "objective": lambda objective: objective(torch.zeros(2), torch.zeros(2, 3), temperature=1.0),
}
"""Range checks of an entry that is a function: a call on next to nothing."""


class Resolver:
    """Resolves configs; what many of them share is looked up, constructed and checked once."""

    def __init__(self) -> None:
        self._components: dict[str, Resolved | ConfigError] = {}
        self._shapes: dict[str, DataShape | ConfigError] = {}
        self._misfits: dict[str, str] = {}

    def resolve(self, config: TrialConfig) -> Trial:
        """The trial of a config; ConfigError with every problem found."""
        parts = self._parts(config)
        shape = self._shape(parts["data"])
        unfit = self._fit(parts, shape, config.encoder_chunk is not None)
        meaning, problems = _meaning(config, parts, shape)
        k, also, notes = _check_parts(config, parts, shape, meaning)
        seconds = {path: self._shape(part, path) for path, part in listed(parts, "transfer").items()}
        of_transfer, remarks = check_transfer(parts, shape, seconds)
        of_transfer += check_on_the_way(config, parts, shape)
        if unfit or problems or also or of_transfer:
            raise ConfigError([*unfit, *problems, *also, *of_transfer])
        method: Method = parts["method"].value
        held, contrast = features_note(parts["encoder"].value, parts["head"].value, shape), None
        if method.has_negatives:
            directions = OBJECTIVES.trait(parts["objective"].plain["name"], "directions") or "both"
            contrast = Contrast(parts["negatives"].value, parts["objective"].value, {}, k, directions)
        plain = ("data", "encoder", "head", "augmentation", "method", "temperature", "optimizer")
        identity = _without_added(_canonical(config, _identities(parts), k, meaning))
        content, places = parts["data"].value.content(), parts["data"].places
        return Trial(
            cell={},
            config=_canonical(config, {name: part.plain for name, part in parts.items()}, k, meaning),
            identity=identity | ({"data": identity["data"] | {"content": content}} if content else {}),
            former=identity | {"data": identity["data"] | places} if content else None,
            parts=Parts(
                contrast=contrast,
                evaluations=_by_name(listed(parts, "evaluations")),
                transfer=_by_name(listed(parts, "transfer")),
                meaning=meaning,
                **{name: parts[name].value for name in plain},
            ),
            notes=(*shape.remarks, *notes, *remarks, *filter(None, [meaning.note, held])),
            code={f"{path.split('.')[0]}.{part.plain['name']}": part.code for path, part in parts.items() if part.code},
        )

    def _parts(self, config: TrialConfig) -> dict[str, Resolved]:
        """Every component of the config by field (evaluations as evaluations.0, …, and transfer so)."""
        fields = ("data", "encoder", "augmentation", "method", "optimizer")
        wanted: dict[str, Component] = {field: getattr(config, field) for field in fields}
        t = config.temperature
        if isinstance(t, str) and t not in TEMPERATURES:
            raise ConfigError([f"temperature: a number above 0, or a schedule ({', '.join(TEMPERATURES)}), got {t!r}"])
        wanted["temperature"] = {"name": "constant", "value": t} if isinstance(t, int | float) else t
        evaluations = config.evaluations if config.evaluations is not None else EVALUATIONS.names()
        wanted |= {f"evaluations.{i}": value for i, value in enumerate(evaluations)}
        wanted |= {f"transfer.{i}": value for i, value in enumerate(config.transfer)}
        parts, problems = self._look_up(wanted)
        head, also = self._look_up({"head": _as_the_method_has_it(config.head, parts.get("method"))})
        parts, problems = parts | head, problems + also
        measured = [part.plain["name"] for part in listed(parts, "evaluations").values()]
        twice = [name for i, name in enumerate(measured) if name in measured[:i]]
        problems += [f"evaluations: {name} is named twice; drop one" for name in twice]
        method = parts["method"].value if "method" in parts else None
        if method is not None and method.has_negatives:
            contrast: dict[str, Component] = {
                "negatives": config.negatives or "all",
                "objective": config.objective or method.default_objective,
            }
            further, also = self._look_up(contrast)
            parts, problems = parts | further, problems + also
        if problems:
            raise ConfigError(problems)
        return parts

    def _look_up(self, wanted: Mapping[str, Component]) -> tuple[dict[str, Resolved], list[str]]:
        parts, problems = {}, []
        for path, value in wanted.items():
            field = path.split(".")[0]
            key = f"{field} {json.dumps(value, sort_keys=True)}"
            if key not in self._components:
                try:
                    self._components[key] = component(field, value)
                except ConfigError as error:
                    self._components[key] = error
            found = self._components[key]
            if isinstance(found, ConfigError):
                problems += found.problems
            else:
                parts[path] = found
        return parts, problems

    def _fit(self, parts: dict[str, Resolved], shape: DataShape, chunked: bool) -> list[str]:
        """Put the encoder for data of this size in the place of the one that was named; problems of that."""
        fitting, problems = self._look_up({"encoder": for_size(parts["encoder"].plain, shape)})
        parts |= fitting
        side = small_views(parts["augmentation"].value).size
        key = json.dumps([parts["encoder"].plain, shape.size, chunked, side], sort_keys=True)
        if key not in self._misfits:
            named = parts["encoder"].plain["name"], parts["encoder"].value, shape
            self._misfits[key] = misfit(*named) or too_large_for(side, *named) or (undivided(*named) if chunked else "")
        return [*problems, *filter(None, [self._misfits[key]])]

    def _shape(self, data: Resolved, path: str = "data") -> DataShape:
        field = path.split(".")[0]
        key = f"{field} {json.dumps(data.plain, sort_keys=True)}"
        if key not in self._shapes:
            try:
                data.value.check()
                data.value.content()
                self._shapes[key] = data.value.shape()
            except (ValueError, OSError) as error:
                self._shapes[key] = ConfigError([told_of(field, data.plain, error)])
        found = self._shapes[key]
        if isinstance(found, ConfigError):
            raise found
        return found


def _as_the_method_has_it(head: Component, method: Resolved | None) -> Component:
    """The head with what the method's authors have where the config says nothing of it."""
    name = head if isinstance(head, str) else head.get("name")
    if method is None or not isinstance(name, str) or name not in HEADS:
        return head
    given = {} if isinstance(head, str) else head
    published = {n: method.value.head[n] for n in HEADS.trait(name, "by_method") or () if n not in given}
    return {"name": name, **given, **published}


def resolve(config: TrialConfig) -> Trial:
    """The trial of a config; ConfigError with every problem found."""
    return Resolver().resolve(config)


def _canonical(config: TrialConfig, parts: Mapping[str, dict[str, Any]], k: int, meaning: Meaning) -> dict[str, Any]:
    plain = config.plain() | {"k": k, "negatives": None, "objective": None, "synsets": meaning.given}
    del plain["word_vectors"]  # a place, of what changes no number
    plain |= {name: part for name, part in parts.items() if "." not in name}
    return plain | {field: list(listed(parts, field).values()) for field in ("evaluations", "transfer")}


def _identities(parts: Mapping[str, Resolved]) -> dict[str, dict[str, Any]]:
    """The identity of each component; of a second data set with what lies at its place."""
    found = {path: part.identity for path, part in parts.items()}
    contents = {path: part.value.content() for path, part in listed(parts, "transfer").items()}
    return found | {path: found[path] | {"content": content} for path, content in contents.items() if content}


def _without_added(canonical: dict[str, Any]) -> dict[str, Any]:
    """Without the fields that came later, where they are as before there were any."""
    before = {f.name: plain_value(f.metadata["as_before"]) for f in dataclasses.fields(TrialConfig) if f.metadata}
    return {name: value for name, value in canonical.items() if name not in before or value != before[name]}


def _by_name(parts: Mapping[str, Resolved]) -> dict[str, Any]:
    return {part.plain["name"]: part.value for part in parts.values()}


def _check_parts(
    config: TrialConfig, parts: Mapping[str, Resolved], shape: DataShape, meaning: Meaning
) -> tuple[int, list[str], list[str]]:
    """K as it is, problems of parts that do not fit together, and remarks on parts that do."""
    method: Method = parts["method"].value
    name = parts["method"].plain["name"]
    problems = []
    if config.batch_size > shape.train:
        problems.append(
            f"batch_size: {config.batch_size} is more than the {shape.train} training examples; lower batch_size"
        )
    for field in ("encoder", "augmentation", "method"):
        modality = REGISTRIES[field].trait(parts[field].plain["name"], "modality")
        if modality not in (shape.modality, "any"):
            its = f"is for {modality}s" if modality else "does not say modality= where it is registered"
            problems.append(
                f"{field}: {parts[field].plain['name']} {its}, but {parts['data'].plain['name']} "
                f"holds {shape.modality}s; choose one of {', '.join(_of_modality(field, shape.modality))}"
            )
    if not shape.labelled:
        users = [f for f in ("method", "negatives") if f in parts and parts[f].value.uses_labels]
        problems += [f"{f}: {parts[f].plain['name']} uses labels, but the data has none" for f in users]
    problems += check_small_views(parts, shape)
    problems += _refused("optimizer", parts["optimizer"].value.check, config.epochs)
    problems += _refused("method", method.check, config.batch_size, shape.train, config.epochs)
    if not method.has_negatives:
        set_in_vain = [f for f in ("k", "negatives", "objective") if getattr(config, f) is not None]
        problems += [
            f"{f}: {name} has no negatives, so {f} changes nothing; leave {f} out, or choose another method"
            for f in set_in_vain
        ]
        return 0, problems, []
    offer, of_contrast = _check_contrast(config, parts, shape)
    strategy, named = parts["negatives"].value, parts["negatives"].plain["name"]
    problems += of_contrast + _refused("negatives", strategy.check, config.epochs, offer.k * offer.rows_a_draw)
    of_classes, notes = check_classes(strategy, named, parts["data"].value, shape, meaning, offer)
    return offer.k, problems + of_classes, notes


def _meaning(config: TrialConfig, parts: Mapping[str, Resolved], shape: DataShape) -> tuple[Meaning, list[str]]:
    """The synsets of the classes, and what is wrong with what was set of them."""
    try:
        meaning = find_meaning(shape, dataset=parts["data"].plain["name"], mapping=config.synsets)
    except ValueError as error:
        return Meaning(), [f"synsets: {error}"]
    if config.word_vectors and "negatives" not in _by_name(listed(parts, "evaluations")):
        return meaning, ["word_vectors: evaluations lack `negatives`; add it there, or leave word_vectors out"]
    try:
        return meaning.with_words(config.word_vectors, shape.class_names), []
    except ValueError as error:
        return meaning, [f"word_vectors: {error}"]


def _check_contrast(config: TrialConfig, parts: Mapping[str, Resolved], shape: DataShape) -> tuple[Offer, list[str]]:
    """The candidates of an anchor, and the problems of parts that do not fit together."""
    method: Method = parts["method"].value
    name, objective = parts["method"].plain["name"], parts["objective"].plain["name"]
    problems = []
    directions = OBJECTIVES.trait(objective, "directions")
    if directions is not None and directions not in method.directions:
        symmetric = f", or method {{name: {name}, symmetric: true}}" if "symmetric" in METHODS.parameters(name) else ""
        problems.append(
            f"objective: {objective} takes {directions} direction(s), {name} here serves "
            f"{', '.join(method.directions)}; choose info_nce{symmetric}"
        )
    if method.own_loss and objective != method.default_objective:
        problems.append(
            f"objective: {name} has a loss of its own, {method.own_loss}, so {objective} changes nothing; leave "
            "objective out, or choose the method's other loss"
        )
    small = small_views(parts["augmentation"].value).number if method.takes_small_views else 0
    met, few = method.positives + small, small or method.views > 2
    if met > 1 and not OBJECTIVES.trait(objective, "many_positives"):
        problems.append(
            f"method: {name} here has {met} positives an anchor, and {objective} takes one; choose one of "
            f"{', '.join(_with_trait('many_positives'))}" + (", or two views" if few else "")
        )
    if parts["negatives"].value.attracts and (method.own_loss or not OBJECTIVES.trait(objective, "attracts")):
        problems.append(
            f"negatives: {parts['negatives'].plain['name']} here adds positives to an InfoNCE loss, and "
            f"{method.own_loss or objective} is none; choose one of {', '.join(_with_trait('attracts'))}, or eliminate"
        )
    size = method.pool_size(config.batch_size, shape.train, directions or "both")
    if config.k is not None and config.k > size:
        larger = "batch_size" if name.startswith("simclr") else "the pool"
        problems.append(
            f"k: {config.k} candidates are more than the {size} rows of {name}'s pool (batch_size {config.batch_size}, "
            f"{shape.train} training examples); lower k, or raise {larger}"
        )
    together = method.rows_a_draw(directions or "both")
    copies = method.copies(config.batch_size, shape.train, directions or "both") // together
    instances = max(min(size // copies, shape.train - 1), 1)
    k = config.k or size
    return Offer(k, instances, max(copies, -(-k // instances)), together), problems


def _of_modality(field: str, modality: str) -> list[str]:
    registry = REGISTRIES[field]
    return [name for name in registry.names() if registry.trait(name, "modality") in (modality, "any")]


def _with_trait(trait: str) -> list[str]:
    return [name for name in OBJECTIVES.names() if OBJECTIVES.trait(name, trait)]


def _refused(field: str, check: Callable[..., Any], *arguments: Any) -> list[str]:
    try:
        check(*arguments)
    except (ValueError, UnknownName) as error:
        return [f"{field}: {error}"]
    return []
