"""Study what negatives do in contrastive representation learning: the public API.

Lazy: `import study` loads neither torch, ray nor mlflow.
"""

import importlib
import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from study.config import ConfigError, TrialConfig
    from study.figures import plot, plot_curves
    from study.results import Results
    from study.space import choice, grid, loguniform, randint, uniform
    from study.study import Study

_HOME = {
    "ConfigError": "study.config",
    "Results": "study.results",
    "Study": "study.study",
    "TrialConfig": "study.config",
    "choice": "study.space",
    "grid": "study.space",
    "loguniform": "study.space",
    "plot": "study.figures",
    "plot_curves": "study.figures",
    "randint": "study.space",
    "uniform": "study.space",
}

__all__ = [
    "ConfigError",
    "Results",
    "Study",
    "TrialConfig",
    "choice",
    "grid",
    "loguniform",
    "plot",
    "plot_curves",
    "randint",
    "uniform",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'study' has no attribute {name!r}")
    _check_models()
    return getattr(importlib.import_module(_HOME[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def _check_models() -> None:
    """Refuse a `models` of the user's, a file or a package, that hides the one beside this package: beside a user's
    script it is found first."""
    found = importlib.util.find_spec("models")
    where = Path(found.origin) if found and found.origin else None
    if where is None or where.parent.parent.resolve() != Path(__file__).parent.parent.resolve():
        theirs = where.parent if where and where.name == "__init__.py" else where or "nowhere"
        raise ImportError(f"{theirs} hides this package's `models`; rename it, such as my_models")
