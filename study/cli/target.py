"""The study that a command line names: the definition, its name, and the store of its results."""

import argparse
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from study.storage.store import Store
    from study.study import Study


def load_target(options: argparse.Namespace) -> "Study":
    """The study named on the command line, with its overrides in place."""
    from study.config import ConfigError
    from study.recipes import load
    from study.storage import yaml_text

    overrides = {}
    for item in options.set:
        path, equals, text = item.partition("=")
        if not equals or not path.strip() or not text.strip():
            raise ConfigError([f"--set takes PATH=VALUE, such as --set epochs=5 or --set k=null; got {item!r}"])
        if path.strip() in overrides:
            raise ConfigError([f"--set {path.strip()}: given twice; give it once, several values as a list: [16,64]"])
        try:
            overrides[path.strip()] = yaml_text.read(text)
        except yaml_text.NotYAML as error:
            raise ConfigError(
                [f"--set {path}: {text!r} is not a YAML value ({error}); write a list as [16,64]"]
            ) from None
    if getattr(options, "until_decided", False):
        overrides.setdefault("until_decided", True)
    return load(options.study, getattr(options, "storage", None)).with_overrides(overrides)


def stored_target(options: argparse.Namespace) -> "tuple[Study, bool]":
    """The study named on the command line, and whether its components are here: what is stored can be read without."""
    from study.recipes import MissingModules

    try:
        return load_target(options), True
    except MissingModules as missing:
        print("\n".join([*missing.problems, "what is stored is shown; nothing can be run here"]), file=sys.stderr)
        return missing.study, False


def store_of(study: "Study", options: argparse.Namespace) -> "Store":
    """Where the study's results are; ConfigError where no trial of it has started there."""
    from study.config import ConfigError
    from study.storage.store import Store, exists

    store = Store.of(study.name, options.storage)
    if not exists(store.path) or not any(True for _ in store.trials()):
        raise ConfigError([
            f"no trial of {study.name} is in {store.path.parent}; `study run {options.study}` first, or name "
            "the storage that it ran in: --storage PATH"
        ])  # fmt: skip
    return store


def name_of(options: argparse.Namespace) -> str | None:
    """The name of the study on the command line, which may be known to MLflow alone; None where none is given."""
    from models.registry import UnknownName
    from study.recipes import MissingModules, load

    try:
        return load(options.study, options.storage).name if options.study else None
    except MissingModules as missing:
        return missing.study.name
    except UnknownName:
        return options.study
