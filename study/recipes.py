"""Studies by name, by Python file and by study.yaml."""

import importlib
import importlib.util
import pkgutil
import sys
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import yaml

import search_spaces
from models.registry import UnknownName, did_you_mean
from study.config import ConfigError, TrialConfig
from study.space import from_plain
from study.study import KEYS, Study


def names() -> list[str]:
    """The recipes in search_spaces/."""
    return sorted(module.name for module in pkgutil.iter_modules(search_spaces.__path__))


def load(target: str) -> Study:
    """The study of a recipe's name, a Python file with a `study`, or a study.yaml.

    Raises UnknownName for a name that no recipe bears, FileNotFoundError for a file that is not there.
    """
    path = Path(target)
    if path.is_dir() and target not in names():
        raise ConfigError([f"{target} is a folder; give a Python file or study.yaml in it, or a recipe's name"])
    if path.suffix not in (".py", ".yaml", ".yml"):
        if target not in names():
            hint = "; or give the path of a Python file or study.yaml"
            raise UnknownName("study", target, names(), hint=hint)
        return _of_module(importlib.import_module(f"search_spaces.{target}"))
    if not path.exists():
        raise FileNotFoundError(f"no such file: {path.absolute()}")
    if path.suffix != ".py":
        return from_yaml(path.read_text())
    return _of_module(_import_file(path.absolute()))


def from_yaml(text: str) -> Study:
    """The inverse of `to_yaml`; ConfigError for keys or values that a study does not take."""
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise ConfigError([f"study.yaml is not YAML: {' '.join(str(error).split())}"]) from None
    known = [*KEYS, "modules"]
    if not isinstance(content, Mapping):
        raise ConfigError([f"study.yaml must be a mapping with the keys {', '.join(known)}"])
    unknown = [key for key in content if key not in known]
    if unknown or "name" not in content:
        missing = [] if "name" in content else ["name: a study needs one"]
        raise ConfigError([*(f"{key}: no such key{did_you_mean(key, known)}" for key in unknown), *missing])
    for module in content.get("modules", []):
        import_from_here(module)
    arguments: dict[str, Any] = {key: value for key, value in content.items() if key != "modules"}
    arguments["base"] = TrialConfig(**(content.get("base") or {}))
    try:
        arguments["space"] = from_plain(content.get("space") or {})
    except (TypeError, ValueError) as error:
        raise ConfigError([str(error)]) from None
    return Study(**arguments)


def to_yaml(study: Study, modules: list[str]) -> str:
    """The resolved study, complete: `study run` of it is the same study. `modules` register what it names."""
    plain = study.plain() | ({"modules": modules} if modules else {})
    return yaml.safe_dump(plain, sort_keys=False, allow_unicode=True)


def import_from_here(module: str) -> ModuleType:
    """Import a user's module, the working directory included in the search."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise ConfigError([f"modules: {error}; run from the folder that holds {module}.py"]) from None


def _import_file(path: Path) -> ModuleType:
    """Import a file that is in no package; modules beside it can be imported by it."""
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise ConfigError([f"{error.filename}, line {error.lineno}: {error.msg}"]) from None
    except ModuleNotFoundError as error:
        raise ConfigError([f"{path}: {error}; install it, or put it beside the file"]) from None
    return module


def _of_module(module: ModuleType) -> Study:
    study = getattr(module, "study", None)
    if not isinstance(study, Study):
        raise ConfigError([f"{module.__file__} must define `study = Study(…)`"])
    return study
