"""The Makefile's targets, as someone sees them who has just installed."""

import shutil
import subprocess
from pathlib import Path

import pytest


@pytest.mark.skipif(shutil.which("make") is None, reason="there is no make")
def test_setup_ends_with_what_to_type_next() -> None:
    command = ["make", "--silent", "--old-file=.venv/.ready", "setup"]  # as if it were installed
    done = subprocess.run(command, capture_output=True, text=True, cwd=Path(__file__).parents[1], check=True)
    assert done.stdout == "ready; next:\n  . .venv/bin/activate\n  study list\n"
