"""The authors' numbers, where the shared folder is present."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

SHARED = Path(__file__).parents[2].parent / "shared" / "golden"


@pytest.fixture(scope="session")
def golden() -> dict[str, dict[str, Any]]:
    """Losses and gradient norms from the authors' published code, by name."""
    if not (SHARED / "golden.json").exists():
        pytest.skip(f"the authors' golden values are not at {SHARED}")
    return json.loads((SHARED / "golden.json").read_text())


@pytest.fixture
def inputs(golden: dict[str, Any]) -> dict[str, Tensor]:
    """The fixed inputs of the golden values, float64."""
    with np.load(SHARED / "inputs.npz") as file:
        return {name: torch.from_numpy(file[name]) for name in file}
