"""A trial's configuration: typed, complete, checked as a whole before any compute is spent."""

import dataclasses
import hashlib
import inspect
import json
import typing
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import PurePath
from typing import Annotated, Any, Literal, TypeVar

import pydantic
from pydantic import BeforeValidator, ConfigDict, Field, ValidatorFunctionWrapHandler, WrapValidator
from pydantic_core import ArgsKwargs, PydanticCustomError

from models.registry import Registry, added, did_you_mean


def _name_or_mapping(value: Any) -> Any:
    if isinstance(value, str | dict):
        return value
    raise PydanticCustomError("component", 'a component is a name or {"name": …, parameter: value}')


def _no_boolean(value: Any) -> Any:
    """pydantic would take true for 1."""
    if isinstance(value, bool):
        raise PydanticCustomError("number", "input should be a number")
    return value


Component = Annotated[str | dict[str, Any], BeforeValidator(_name_or_mapping)]
"""A registered name, or {"name": …, parameter: value, …}."""
if typing.TYPE_CHECKING:
    Components = Sequence[Component]  # a list does as well
else:
    Components = tuple[Component, ...]


class ConfigError(Exception):
    """Everything that is wrong with a configuration or study, one problem a line.

    Not a ValueError: pydantic would wrap it in an error of its own.
    """

    def __init__(self, problems: Iterable[str]) -> None:
        self.problems = list(dict.fromkeys(problems))
        super().__init__("\n".join(self.problems))

    def __reduce__(self) -> tuple[Any, ...]:
        return ConfigError, (self.problems,)


@pydantic.dataclasses.dataclass(frozen=True, kw_only=True, config=ConfigDict(extra="forbid"))
class TrialConfig:
    """The configuration of a trial; every field has a default. Raises ConfigError, with every problem at once."""

    data: Component = "shapes"
    """the data set (`study list data`), with its parameters, such as train_size"""
    encoder: Component = "conv-small"
    """the encoder f"""
    encoder_chunk: Annotated[int, Field(ge=1, strict=True)] | None = added(None)
    """inputs that go through the encoder at a time, in a training, so that a large batch fits; by default all"""
    head: Component = "mlp"
    """the projection head g"""
    augmentation: Component = "simclr"
    """what makes two views of an example"""
    method: Component = "simclr"
    """how a step is made, and with it the pool that negatives come from"""
    objective: Component | None = None
    """the loss; by default the method's own"""
    negatives: Component | None = None
    """the negative-selection strategy; by default all candidates"""
    k: Annotated[int, Field(ge=1, strict=True)] | None = None
    """K, the candidates that an anchor is offered; by default the whole pool"""
    temperature: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)] | Component = 0.5
    """t, or a schedule such as {"name": "cosine", "start": …, "end": …}"""
    batch_size: Annotated[int, Field(ge=2, strict=True)] = 256
    """B, the examples of a step"""
    epochs: Annotated[int, Field(ge=1, strict=True)] = 100
    """passes over the training split; a last batch that is not full is left out"""
    optimizer: Component = "sgd"
    """the optimizer, with its learning rate, warm-up and weight decay"""
    precision: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    """of the networks' arithmetic; auto: the fastest that the hardware has (`study bench --only precision`)"""
    evaluations: Components | None = None
    """what is measured of the trained encoder; by default every evaluation"""
    transfer: Components = added(())
    """further data sets, each as `data` is, on whose images linear probe and kNN of the frozen encoder are made too"""
    evaluation_views: Annotated[int, Field(ge=2, strict=True)] = 4
    """A, the augmented views an example is embedded with for mean classifier, alignment and L_cont"""
    negatives_every: Annotated[int, Field(ge=1, strict=True)] | None = None
    """epochs between two measurements of the evaluation `negatives` on the way; by default at the end alone"""
    accuracy_every: Annotated[int, Field(ge=0, strict=True)] = added(0)
    """epochs between two quick measurements of accuracy on held-out examples, at 2 % of the training's cost; 0: none"""
    synsets: dict[str, str] | None = None
    """class → WordNet 3.0 noun synset (`crane.n.05` or a wnid), for those of the data set without one; {}: none"""
    word_vectors: str | None = None
    """a text file of word vectors (word2vec's or GloVe's), whose similarity of class names is held against WordNet's"""
    seed: Annotated[int, Field(ge=0, strict=True)] = 0
    """of every random number of the trial"""

    @pydantic.model_validator(mode="wrap")
    @classmethod
    def _explain(cls, values: Any, validate: pydantic.ModelWrapValidatorHandler["TrialConfig"]) -> "TrialConfig":
        return explained(cls, values, validate)

    def plain(self) -> dict[str, Any]:
        """The fields as JSON and YAML can hold them."""
        return {field.name: plain_value(getattr(self, field.name)) for field in dataclasses.fields(self)}


def plain_value(value: Any) -> Any:
    """The value as JSON and YAML can hold it: NumPy's numbers and arrays, tuples, ranges and paths become plain.

    A float32 becomes the shortest number that it is the nearest of: 0.1, not 0.10000000149011612.
    """
    if isinstance(value, Mapping):
        return {plain_value(key): plain_value(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | range) or (hasattr(value, "ndim") and value.ndim):
        return [plain_value(inner) for inner in value]
    if isinstance(value, PurePath):
        return str(value)
    if not (hasattr(value, "dtype") and hasattr(value, "item")):
        return value
    number = value.item()
    with suppress(ValueError):  # a tensor prints more than its number
        return float(str(value)) if isinstance(number, float) else number
    return number


_T = TypeVar("_T")


def explained(cls: Any, values: Any, validate: Callable[[Any], _T]) -> _T:
    """Validate the arguments of a pydantic dataclass, made plain; ConfigError with every problem.

    None for an argument that has another default, such as an empty key in study.yaml, is that default.
    """
    known = {field.name: field for field in dataclasses.fields(cls)}
    if not isinstance(values, Mapping | ArgsKwargs):
        return validate(values)
    arguments, given = ((), values) if isinstance(values, Mapping) else (values.args, values.kwargs or {})
    if unnamed := [key for key in given if not isinstance(key, str)]:
        raise ConfigError([f"a key must be a text, got {unnamed[0]!r} (known: {', '.join(known)})"])
    left_out = {name for name, field in known.items() if field.default is not None and given.get(name, 0) is None}
    given = {name: plain_value(value) for name, value in given.items() if name not in left_out}
    try:
        return validate(ArgsKwargs(tuple(map(plain_value, arguments)), given))
    except pydantic.ValidationError as error:
        raise ConfigError(describe(error, known)) from None


def takes(wanted: str) -> WrapValidator:
    """Say a field's rule in these words, whatever pydantic found."""

    def validate(value: Any, inner: ValidatorFunctionWrapHandler) -> Any:
        try:
            return inner(value)
        except pydantic.ValidationError:
            raise PydanticCustomError("kind", "takes {wanted}", {"wanted": wanted}) from None

    return WrapValidator(validate)


RULES = {
    "tuple_type": "input should be a list, such as [a, b]",
    "dict_type": "input should be a mapping, such as {key: value}",
    "bool_type": "input should be true or false",
    "bool_parsing": "input should be true or false",
}
"""pydantic's kind of finding → the rule in the words of a config, where pydantic's own are those of Python."""


NUMERIC = ("greater_than", "less_than", "finite_number", "int_", "float_", "number")
"""pydantic's kinds of finding about a number begin with these."""


def describe(error: pydantic.ValidationError, known: Mapping[str, Any]) -> list[str]:
    """pydantic's findings in one line each: where, the rule, what keeps it, the value, and the nearest known key.

    `known`: the fields or parameters by name, each with its `default`.
    """
    names = list(known)
    lines: dict[str, str] = {}
    for finding in error.errors():
        place = finding["loc"][0] if finding["loc"] else ""
        key = names[place] if isinstance(place, int) and place < len(names) else str(place)
        if finding["type"] in ("unexpected_keyword_argument", "extra_forbidden"):
            lines[key] = no_such_key(key, names)
        elif "[key]" in finding["loc"]:
            lines[key] = f"a key must be a text, got {finding['input']!r}; quote it: '{finding['input']}'"
        elif finding["type"] == "value_error":
            lines[key] = str(finding["ctx"]["error"]).removeprefix(key)
        elif finding["type"] == "missing":
            lines.setdefault(key, f"has no default, so it needs a value (takes: {', '.join(names)})")
        else:
            rule = _rule(finding["type"], finding["msg"], getattr(known.get(key), "default", ...))
            lines.setdefault(key, f"{rule}, got {finding['input']!r}")
    return [f"{key}{message if message[0] in '.:' else f': {message}'}" for key, message in lines.items()]


def no_such_key(key: str, known: Sequence[str]) -> str:
    """Tell of a key that there is not, with the nearest that there is."""
    there = f"known: {', '.join(known)}" if known else "there is none"
    return f"no such key{did_you_mean(key, list(known))} ({there})"


def _rule(kind: str, message: str, default: Any) -> str:
    """The rule in the words of a config; a number's with what keeps it, which its default does."""
    rule = RULES.get(kind, message[0].lower() + message[1:])
    if not kind.startswith(NUMERIC):
        return rule
    if default is None:
        return f"{rule}, or left out"
    return f"{rule}, such as {default}" if type(default) in (int, float) else rule


def with_value(plain: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """The plain config with the value at a dotted path; a component given by name alone becomes {"name": …}."""
    key, _, rest = path.partition(".")
    if not rest:
        return {**plain, key: plain_value(value)}
    inner = plain.get(key)
    inner = {"name": inner} if isinstance(inner, str) else inner or {}
    if not isinstance(inner, dict):
        raise ConfigError([f"{path}: {key} is {inner!r} and has no parts; set {key} as a whole"])
    return {**plain, key: with_value(inner, rest, value)}


def _positional(entry: Any) -> list[str]:
    """The parameters that have a default and could be set, if they were keyword-only."""
    named = inspect.signature(entry).parameters.items()
    return [n for n, p in named if p.kind is p.POSITIONAL_OR_KEYWORD and p.default is not p.empty]


def split_component(value: Component) -> tuple[str, dict[str, Any]]:
    """(name, parameters); ValueError where a mapping has no name."""
    if isinstance(value, str):
        return value, {}
    if not isinstance(value.get("name"), str):
        raise ValueError(f'a component is a name or {{"name": …, parameter: value}}, got {value!r}')
    return value["name"], {k: v for k, v in value.items() if k != "name"}


def build(
    registry: Registry, value: Component, schema_of: Callable[[Registry, str], Mapping[str, inspect.Parameter]]
) -> tuple[Any, dict[str, Any]]:
    """The registry's entry and its checked parameters, defaults filled in; every problem in one ConfigError."""
    name, given = split_component(value)
    entry = registry.get(name)
    schema = schema_of(registry, name)
    if "name" in schema:
        raise ValueError(f"{name}: its parameter `name` is the key that names a component; give it another name")
    bare = [n for n, parameter in schema.items() if parameter.annotation is inspect.Parameter.empty]
    if bare:
        raise ValueError(f"{name}: its parameter {bare[0]} has no annotation, such as {bare[0]}: float; add one")
    if set(given) - set(schema) and (positional := _positional(entry)):
        here = next((n for n in given if n in positional), positional[0])
        raise ValueError(f"{name}: its parameter {here} is not keyword-only; put *, before it to set it here")
    kinds = {
        n: (_kind(p.annotation), ... if p.default is inspect.Parameter.empty else p.default) for n, p in schema.items()
    }
    rules = ConfigDict(extra="forbid", allow_inf_nan=False)
    model = pydantic.create_model(name, __config__=rules, **kinds)  # type: ignore[call-overload]
    try:
        checked = model(**given)
    except pydantic.ValidationError as error:
        raise ConfigError(describe(error, schema)) from None
    return entry, {n: getattr(checked, n) for n in schema}


def _kind(annotation: Any) -> Any:
    """The annotation of a parameter; a number's refuses true and false."""
    options = typing.get_args(annotation) or (annotation,)
    numeric = {int, float} & {option for option in options if isinstance(option, type)}
    return Annotated[annotation, BeforeValidator(_no_boolean)] if numeric and bool not in options else annotation


def trial_id(canonical: Mapping[str, Any]) -> str:
    """The first 12 hexadecimal digits of the SHA-256 of the canonical config: identity by content."""
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]
