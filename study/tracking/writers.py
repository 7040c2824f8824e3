"""Who writes a SQLite database: sessions of one machine at a time.

SQLite locks its file, which sessions of one machine see and those of others may not: on a folder that several mount
(NFS, Lustre) two that write break the database. So they elect the machine beside the file, by claims, which hold on
every file system; sessions of another one keep what they have, and take over once no session there writes any more.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from study.storage.claims import Claims, Holder, Session

log = logging.getLogger(__name__)

WRITER = "writer"
"""The claim that sessions of one machine share."""


class Writers:
    """Whether a session may write a database; of a server, which `file` None stands for, all may."""

    def __init__(self, file: Path | None, session: Session) -> None:
        self._file, self._session = file, session
        self._claims: Claims | None = None
        self._why = ""

    def join(self) -> bool:
        """Whether this session may write now; said where it may not. It asks before each time: one that stood still may
        have lost it. Raises OSError where sessions cannot meet."""
        if self._file is None:
            return True
        folder = self._file.with_name(f"{self._file.name}.sessions")
        try:
            self._claims = self._claims or self._session.among(folder)
            why = self._written(self._claims.join(WRITER))
        except OSError as error:
            raise OSError(
                f"{folder}, where sessions agree on who writes the database, cannot be used "
                f"({error.strerror or error}): make it a folder that you may write"
            ) from None
        if why and not self._why:
            log.warning("%s", why)
        self._why = why
        self._session.tell_whether_tracking(not why)
        return not why

    def may_write(self) -> bool:
        """As `join`; not now, where the storage does not answer."""
        try:
            return self.join()
        except OSError as error:
            log.debug("%s", error)
            return False

    def say_what_is_left(self) -> None:
        """At the end of a session that could not write."""
        log.warning("%s; running this study again sends what is left", self._why or f"{self._file} is not reached")

    def _written(self, others: Mapping[str, Holder]) -> str:
        """Why this session may not write, and who sends its trials; empty: it may."""
        if not others:
            return ""
        ours = others.keys() & self._session.board.sessions()
        trials = "that session sends this one's trials too" if ours else "this one's trials are sent once it has ended"
        who = ", ".join(map(str, others.values()))
        return f"{self._file} is written by {who}, and a SQLite file takes one machine at a time: {trials}"
