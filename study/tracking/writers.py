"""Who writes a SQLite database: sessions of one machine at a time.

SQLite locks its file, which sessions of one machine see and those of others may not: on a folder that several mount
(NFS, Lustre) two that write break the database. So they elect the machine beside the file, by claims, which hold on
every file system; sessions of another one keep what they have, and take over once no session there writes any more.
"""

import logging
from pathlib import Path

from study.storage.claims import Claims, Session

log = logging.getLogger(__name__)

WRITER = "writer"
"""The claim that sessions of one machine share."""


class Writers:
    """Whether a session may write a database; of a server, which `file` None stands for, all may."""

    def __init__(self, file: Path | None, session: Session) -> None:
        self._file, self._session = file, session
        self._claims: Claims | None = None
        self._others = ""

    def join(self) -> bool:
        """Whether this session may write now. It asks before each time: one that stood still may have lost it."""
        if self._file is None:
            return True
        try:
            self._claims = self._claims or self._session.among(self._file.with_name(f"{self._file.name}.sessions"))
            others = ", ".join(map(str, self._claims.join(WRITER)))
        except OSError as error:
            log.debug("who writes %s cannot be read: %s", self._file, error)
            return False
        if others and not self._others:
            log.warning(
                "%s is written by %s: a SQLite file takes one machine at a time. That session sends the trials of this "
                "one too where it runs the same study; otherwise they are sent once it has ended", self._file, others,
            )  # fmt: skip
        self._others = others
        self._session.tell_whether_tracking(not others)
        return not others

    def say_what_is_left(self) -> None:
        """At the end of a session that could not write."""
        log.warning(
            "%s is still written by %s: once that has ended, running the study again sends those of this session's "
            "trials that it has not sent", self._file, self._others,
        )  # fmt: skip
