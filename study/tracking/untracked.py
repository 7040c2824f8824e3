"""Session that sends nothing: its trials lie in the storage, and one that tracks, or a later run, sends them."""

from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

from study.storage.store import TrialFolder


class Untracked:
    """In the place of a Tracker, where a session is told to leave tracking to others."""

    def open(self, study_yaml: str, plan: Mapping[str, Any]) -> None:
        """Nothing to open."""

    def watch(self, trial: TrialFolder) -> None:
        """Nothing to send."""

    def background(self) -> AbstractContextManager[None]:
        """No thread."""
        return nullcontext()
