"""The outcome of a trial: result.json, typed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Literal

ORDER = ("status", "reason", "metrics", "started", "seconds", "data", "skipped", "trace", "out_of_memory", "ended",
         "environment")  # fmt: skip
"""The keys of result.json."""


@dataclass(frozen=True, kw_only=True)
class TrialResult:
    """A trial that is over. What was not measured or did not happen is empty, and absent in the file."""

    status: Literal["finished", "failed", "pruned"]
    reason: str | None = None
    """why it failed, or was pruned"""
    metrics: dict[str, float] = field(default_factory=dict)
    started: float
    """seconds since 1970"""
    ended: float
    seconds: float | None = None
    """of training and evaluation, without waits and interruptions; None where it did not finish"""
    data: dict[str, Any] = field(default_factory=dict)
    """the data set: name, digest, sizes, classes and their counts"""
    skipped: dict[str, str] = field(default_factory=dict)
    """what was left out → why"""
    environment: dict[str, Any] = field(default_factory=dict)
    """versions, device and modes that it was computed with"""
    trace: str | None = None
    """of an error that was not foreseen"""
    out_of_memory: bool = False
    """whether a GPU's memory did not suffice"""

    @classmethod
    def failure(cls, reason: str, *, started: float = 0.0, ended: float = 0.0) -> "TrialResult":
        """Of a trial that never came to measure anything."""
        return cls(status="failed", reason=reason, started=started, ended=ended)

    @property
    def finished(self) -> bool:
        return self.status == "finished"

    @property
    def duration(self) -> float:
        """Seconds of work; of a failure, from its start to its end."""
        return self.ended - self.started if self.seconds is None else self.seconds

    def plain(self) -> dict[str, Any]:
        """As result.json has it."""
        present = {
            "seconds": self.seconds is not None,
            "data": bool(self.data),
            "skipped": bool(self.data or self.skipped),  # nothing was left out of what was measured: that is recorded
            "trace": self.trace is not None,
            "out_of_memory": self.out_of_memory,
            "environment": bool(self.environment),
        }
        return {name: getattr(self, name) for name in ORDER if present.get(name, True)}

    @classmethod
    def from_plain(cls, content: Mapping[str, Any]) -> "TrialResult":
        """A result.json of this version or an earlier one; what it lacks is empty, what is unknown is passed over."""
        known = {f.name: content[f.name] for f in fields(cls) if f.name in content}
        return cls(**{"started": 0.0, "ended": known.get("started", 0.0), **known})
