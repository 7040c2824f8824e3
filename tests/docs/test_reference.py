"""The API reference has a page per module, and one per method, strategy and whatever else a study can name."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from models.methods import METHODS
from models.negatives import STRATEGIES

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_the_reference_is_built_with_a_page_per_component_and_no_dead_link(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "docs" / "reference.py"), str(tmp_path)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "class Study" in re.sub("<[^>]+>", "", (tmp_path / "study.html").read_text())
    for kind, names in (("method", METHODS.names()), ("negatives", STRATEGIES.names())):
        assert {path.stem for path in (tmp_path / "components" / kind).iterdir()} == set(names)
    ring = (tmp_path / "components" / "negatives" / "ring.html").read_text()
    assert "share of the candidates within the ring" in ring, "the parameters with what they are"
    begin = (tmp_path / "index.html").read_text()
    assert 'href="components.html"' in begin
    assert 'href="study/results/results.html"' in begin, "modules that a package's __all__ does not name are there too"
    for page in (tmp_path / "index.html", tmp_path / "components.html", *tmp_path.glob("components/*/*.html")):
        for link in re.findall(r'href="([^"#]+)', page.read_text()):
            assert (page.parent / link).exists(), f"{page}: {link}"
