"""The interval of a mean: Student's t."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit


def half_width(error: Any, n: ArrayLike) -> Any:
    """Half of the 95 % interval of a mean: t(.975; n − 1) · error, in the unit of `error`; NaN for n < 2.

    error: the standard error of the mean, s/√n over n independent replicates, of any shape that fits n. Student 1908.
    """
    n = np.asarray(n, dtype=float)
    return stdtrit(np.where(n > 1, n - 1, np.nan), 0.975) * error  # scipy.stats, which calls it, imports for seconds
