"""Studies by name, by Python file, by study.yaml, and by their name in a storage."""

import importlib
import importlib.util
import pkgutil
import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import search_spaces
from models.registry import UnknownName
from study.config import ConfigError, no_such_key
from study.planning.study_config import is_name, keys
from study.storage import yaml_text
from study.storage.store import Store, default_storage, exists, is_local, location
from study.study import Study


class MissingModules(ConfigError):
    """A module that a study.yaml names cannot be imported here; `study` is what can be told without it."""

    def __init__(self, problems: list[str], study: Study) -> None:
        super().__init__(problems)
        self.study = study


def names() -> list[str]:
    """The recipes in search_spaces/."""
    return sorted(module.name for module in pkgutil.iter_modules(search_spaces.__path__))


def load(target: str, storage: Path | str | None = None) -> Study:
    """The study of a recipe's name, else of a Python file with a `study` or a study.yaml, else of that name in the
    storage, as it ran last.

    Raises UnknownName for a name that none bears, FileNotFoundError for a file that is not there.
    """
    if target in names():
        return _of_module(importlib.import_module(f"search_spaces.{target}"))
    path, of_file = Path(target), target.endswith((".py", ".yaml", ".yml"))
    if of_file and path.is_file():
        return _of_module(_import_file(path.absolute())) if path.suffix == ".py" else _read(path)
    if is_name(target) and exists(described := Store.of(target, storage).path / "study.yaml"):
        return _read(described)
    if path.is_dir() and not is_name(target):
        raise ConfigError([f"{target} is a folder; give a Python file or study.yaml in it, or a study's name"])
    if of_file:
        raise FileNotFoundError(f"no such file: {path.absolute()}")
    folder = f"; {target} is a folder" if path.is_dir() else ""
    hint = f"{folder}; or give the path of a Python file or study.yaml, or the --storage that it ran in"
    near = [f"{target}.py"] if Path(f"{target}.py").is_file() else []
    raise UnknownName("study", target, [*names(), *_stored(storage), *near], hint=hint)


def _stored(storage: Path | str | None) -> list[str]:
    """The names of the studies in a storage that is a folder."""
    folder = location(storage) if storage else default_storage()
    found = {path.parent.name for path in folder.glob("*/study.yaml")} if is_local(folder) else set()
    return sorted(found - set(names()))


def _read(path: Path) -> Study:
    try:
        return from_yaml(path.read_text(encoding="utf-8"), str(path))
    except UnicodeDecodeError:
        raise ConfigError([f"{path} is not a text in UTF-8; save it as one"]) from None


def from_yaml(text: str, where: str = "study.yaml") -> Study:
    """The inverse of `StudyConfig.to_yaml`; ConfigError for keys or values that a study does not take. `where`: what
    the text is called in messages."""
    try:
        content = yaml_text.read(text)
    except yaml_text.NotYAML as error:
        raise ConfigError([f"{where} is not plain YAML: {error}"]) from None
    known = [*keys(), "modules"]
    if not isinstance(content, dict) or not all(isinstance(key, str) for key in content):
        raise ConfigError([f"{where} must be a mapping with the keys {', '.join(known)}"])
    unknown = [f"{key}: {no_such_key(key, known)}" for key in content if key not in known]
    try:
        study = _of_content({key: value for key, value in content.items() if key in known})
    except ConfigError as error:
        if not unknown:
            raise
        raise ConfigError([*unknown, *error.problems]) from None
    if unknown:
        raise ConfigError(unknown)
    return study


def _of_content(content: dict[str, Any]) -> Study:
    modules = content.pop("modules", None) or []
    if not isinstance(modules, list) or not all(isinstance(m, str) and m and m[0] != "." for m in modules):
        raise ConfigError([f"modules: takes a list of module names, such as [my_strategies], got {modules!r}"])
    for module in modules:
        try:
            import_from_here(module)
        except ConfigError as error:
            raise MissingModules(error.problems, Study(**content)) from None
    return Study(**content)


def import_from_here(module: str) -> ModuleType:
    """Import a user's module, the working directory included in the search."""
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    with _mistakes_named(Path.cwd(), f"run from the folder that holds {module}.py"):
        return importlib.import_module(module)


def _import_file(path: Path) -> ModuleType:
    """Import a file that is in no package; modules beside it can be imported by it."""
    taken = importlib.util.find_spec(path.stem) if path.stem.isidentifier() and path.stem not in _FROM_FILES else None
    if taken is not None and taken.origin != str(path):
        raise ConfigError(
            [f"{path}: {path.stem} is a module's name already ({taken.origin}); rename it, such as my_{path.name}"]
        )
    _FROM_FILES.add(path.stem)
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[path.stem] = module
    with _mistakes_named(path.parent, "install it, or put it beside the file"):
        spec.loader.exec_module(module)
    return module


_FROM_FILES: set[str] = set()
"""The names of modules that `_import_file` has made."""


@contextmanager
def _mistakes_named(folder: Path, missing: str) -> Iterator[None]:
    """Report what a user's code raises on import in one line: its place in their folder, kind and message."""
    try:
        yield
    except (ConfigError, UnknownName):
        raise
    except SyntaxError as error:
        raise ConfigError([f"{error.filename}, line {error.lineno}: {error.msg}"]) from None
    except (Exception, SystemExit) as error:
        frames = traceback.extract_tb(error.__traceback__)
        theirs = [frame for frame in frames if Path(frame.filename).is_relative_to(folder)]
        place = f"{theirs[-1].filename}, line {theirs[-1].lineno}" if theirs else str(folder)
        what = f"{error}; {missing}" if isinstance(error, ModuleNotFoundError) else f"{type(error).__name__}: {error}"
        raise ConfigError([f"{place}: {what}"]) from None


def _of_module(module: ModuleType) -> Study:
    study = getattr(module, "study", None)
    if not isinstance(study, Study):
        raise ConfigError([f"{module.__file__} must define `study = Study(…)`"])
    return study
