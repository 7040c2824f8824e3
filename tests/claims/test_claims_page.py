"""docs/claims.md: its table is that of the registered claims, and its example is one that works."""

import os
import re
from pathlib import Path

import pytest

from study.claims import CLAIMS, Claim, findings
from tests.claims.studies import grid, study_of

PAGE = Path(__file__).parents[2] / "docs" / "claims.md"
BETWEEN = re.compile(r"(<!-- table: .*? -->\n).*?(<!-- end of table -->)", re.DOTALL)


def row(name: str) -> str:
    claim: Claim = CLAIMS[name]()
    metric = " − ".join(f"`{metric}`" for metric in claim.metrics)
    measured = (f"log₂ {metric}" if claim.log else metric) + f" {claim.comparison.per}" * bool(claim.comparison.per)
    where = f"within ± {claim.margin:g} of {claim.reference:g}"
    if claim.direction != "equivalent":
        where = f"{'above' if claim.direction == 'greater' else 'below'} {claim.reference:g}"
    needs = claim.comparison.needs()
    return f"| `{name}` | {claim.statement} | {claim.source} | {measured} | {where} | {claim.margin:g} | {needs} |"


def table() -> str:
    head = "| claim | | source | effect | holds if | smallest of interest | needs |\n|---|---|---|---|---|---|---|\n"
    own = [name for name in CLAIMS if CLAIMS[name].__module__.startswith("study.claims.published.")]
    return head + "".join(f"{row(name)}\n" for name in own)


def test_the_page_has_every_claim_as_it_is_registered():
    page = PAGE.read_text()
    renewed = BETWEEN.sub(lambda found: f"{found[1]}{table()}{found[2]}", page)
    if os.environ.get("CLAIMS"):
        PAGE.write_text(renewed)
        return
    assert page == renewed, "renew it: CLAIMS=docs/claims.md pytest tests/claims/test_claims_page.py"


def test_a_claim_of_ones_own_is_one_class_and_one_registration(monkeypatch):
    monkeypatch.setattr(CLAIMS, "_entries", dict(CLAIMS._entries))
    (example,) = re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL)
    exec(compile(example, "my_claims.py", "exec"), {"__name__": "my_claims"})
    found = {one.name: one for one in findings(study_of(grid(negatives=("all", "ring(outer=0.2)")), [0, 3], noise=0.1))}
    assert found["ring_gain"].verdict == "supported"
    assert found["ring_gain"].effect == pytest.approx(3, abs=0.3)
    assert found["ring_gain"].statement == "Rings of negatives gain accuracy over all negatives."
