"""Claims of publications, as tests over a study's cells, and the verdict of the study on each."""

from study.claims import published  # noqa: F401  (registers them)
from study.claims.agreement import Agreement, Agreements, compare_findings
from study.claims.claim import CLAIMS, Claim, Direction
from study.claims.comparisons import Against, Comparison, Level, Optimum, Trend, TrendOverClasses
from study.claims.findings import ANYTIME, Finding, Findings, findings

__all__ = [
    "ANYTIME",
    "CLAIMS",
    "Against",
    "Agreement",
    "Agreements",
    "Claim",
    "Comparison",
    "Direction",
    "Finding",
    "Findings",
    "Level",
    "Optimum",
    "Trend",
    "TrendOverClasses",
    "compare_findings",
    "findings",
]
