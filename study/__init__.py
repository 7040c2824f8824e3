"""Study what negatives do in contrastive representation learning: the public API.

Lazy: `import study` loads neither torch, ray nor mlflow.
"""

import importlib
import importlib.util
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
    """Refuse a file `models.py` that hides the package of that name: beside a user's script it is found first."""
    found = importlib.util.find_spec("models")
    if found is None or found.submodule_search_locations is None:
        where = found.origin if found else "nowhere"
        raise ImportError(f"{where} hides this package's `models`; rename it, such as my_models.py")
