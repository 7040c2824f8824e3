"""Claims of trials, so that two sessions at once run and send each trial once.

A session is one running driver. A trial's claims are numbered registers that are written once, "<trial id>.0", ".1", …;
the last one names the session that holds the trial. A session may write the next register where the last one's session
is over: it said so, its process is gone from this very machine, or its heartbeat has not changed for EXPIRES seconds of
the observer's own clock, who looked at it all the while: where nobody could read, nobody could beat. Registers are
never erased, so that two sessions cannot both take over what a third has left.
"""

import getpass
import itertools
import json
import logging
import os
import socket
import threading
import time
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from types import TracebackType
from typing import Any

from study.storage.registers import create
from study.storage.store import Store, write_atomically

log = logging.getLogger(__name__)

BEAT = 10.0
"""Seconds between two heartbeats."""
EXPIRES = 60.0
"""Seconds without a heartbeat after which a session on another machine counts as dead."""
LOOKS = 30.0
"""Seconds between two looks at a heartbeat after which its standstill counts anew: EXPIRES without the two beats (of
BEAT and a time-out of the storage each) that a session may still need where the storage was unreachable."""


@dataclass(frozen=True)
class Holder:
    """A session as others see it."""

    owner: str
    host: str
    machine: str
    pid: int
    started: str
    beat: int = 0
    tracks: bool = True
    """whether it sends its trials to MLflow"""

    @classmethod
    def here(cls, owner: str, tracks: bool) -> "Holder":
        pid = os.getpid()
        return cls(owner, socket.gethostname(), _machine(), pid, _started(pid) or "", tracks=tracks)

    def __str__(self) -> str:
        return f"{self.owner}@{self.host}"

    def process_is_gone(self) -> bool:
        """Whether its process ran on this machine, and does so no more."""
        return self.machine == _machine() and _started(self.pid) != self.started


class Board:
    """Where the sessions of a study meet: its folder, in any storage that can create a file exclusively."""

    def __init__(self, path: Path) -> None:
        self._claims, self._sessions = path / "claims", path / "sessions"
        self._known: dict[str, str] = {}  # a register never changes

    def put(self, register: str, value: str) -> bool:
        """Write a register that nobody has written yet, atomically; whether it holds this value afterwards."""
        if not create(self._claims / register, value):
            return self.get(register) == value
        self._known[register] = value
        return True

    def get(self, register: str) -> str | None:
        """The text of a register; None while it is not written."""
        if register not in self._known:
            try:
                self._known[register] = (self._claims / register).read_text()
            except FileNotFoundError:
                return None
        return self._known[register]

    def announce(self, session: str, text: str | None) -> None:
        """A session's heartbeat; None: it is over."""
        path = self._sessions / f"{session}.json"
        if text is None:
            path.unlink(missing_ok=True)
        else:
            write_atomically(path, text)

    def session(self, session: str) -> str | None:
        """The last heartbeat of a session; None: it is over."""
        try:
            return (self._sessions / f"{session}.json").read_text()
        except FileNotFoundError:
            return None

    def sessions(self) -> set[str]:
        """The sessions that did not say that they are over."""
        return {path.stem for path in self._sessions.glob("*.json")}


class Claims:
    """One session's claims."""

    def __init__(self, board: Board, session: str) -> None:
        self.board, self.session = board, session
        self._heard: dict[str, tuple[int, float, float]] = {}  # session → its last beat, when first and last seen

    def take(self, trial: str) -> bool:
        """Claim a trial; False: another session holds it."""
        while True:
            number, holder = self._last(trial)
            if holder == self.session:
                return True
            if holder is not None and self.alive(holder) is not None:
                return False
            if self.board.put(f"{trial}.{number}", self.session):
                return True

    def join(self, name: str) -> dict[str, Holder]:
        """Hold something together with sessions of this machine; otherwise the living ones of another, by their names.

        Each that joins writes the next register: its name, and those of the living before it. So whoever writes one has
        seen all that hold it, and where two try at once, one of them looks again.
        """
        while True:
            number, last = self._last(name)
            before = (last or "").split()
            if self.session in before:
                return {}
            living = {other: holder for other in before if (holder := self.alive(other))}
            if elsewhere := {other: holder for other, holder in living.items() if holder.machine != _machine()}:
                return elsewhere
            if self.board.put(f"{name}.{number}", " ".join([self.session, *living])):
                return {}

    def holder(self, trial: str) -> Holder | None:
        """The living session that holds a trial."""
        session = self._last(trial)[1]
        return self.alive(session) if session else None

    def is_free(self, trial: str) -> bool:
        """Whether no other living session holds it."""
        session = self._last(trial)[1]
        return session is None or session == self.session or self.alive(session) is None

    def alive(self, session: str) -> Holder | None:
        """The session, unless it is over."""
        try:
            text = self.board.session(session)
            if text is None:
                return None
            told = json.loads(text)  # by a later version, which tells more
            holder = Holder(**{each.name: told[each.name] for each in fields(Holder) if each.name in told})
        except (ValueError, TypeError):  # a machine that went down left it; a living session writes it anew
            return None
        if holder.process_is_gone():
            return None
        now = time.monotonic()
        beat, since, looked = self._heard.get(session, (-1, now, now))
        if beat != holder.beat or now - looked > LOOKS:
            since = now
        self._heard[session] = holder.beat, since, now
        return holder if now - since < EXPIRES else None

    def _last(self, trial: str) -> tuple[int, str | None]:
        """The number of the next register, and the session that wrote the last one."""
        holder = None
        for number in itertools.count():
            found = self.board.get(f"{trial}.{number}")
            if found is None:
                return number, holder
            holder = found
        raise AssertionError("unreachable")


class Session:
    """One running driver of a study: `with Session(store, owner) as session: …` beats until it ends."""

    def __init__(self, store: Store, owner: str | None = None, *, tracks: bool = True) -> None:
        self.owner = owner or user()
        self.board = Board(store.path)
        self._boards = [self.board]
        self.board.put("storage", uuid.uuid4().hex[:12])
        self.storage = self.board.get("storage") or ""
        """the storage's own name, whatever path leads to it"""
        self.name = f"{self.storage}-{uuid.uuid4().hex[:12]}"
        self.claims = Claims(self.board, self.name)
        self._holder = Holder.here(self.owner, tracks)
        self._beat = 0
        self._over = threading.Event()
        self._thread: threading.Thread | None = None
        self._announce()

    def __str__(self) -> str:
        return str(self._holder)

    def __enter__(self) -> "Session":
        self._thread = threading.Thread(target=self._keep_beating, name="heartbeat", daemon=True)
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.end()

    def end(self) -> None:
        """Leave what it holds to others."""
        self._over.set()
        if self._thread is not None:
            self._thread.join()
        for board in self._boards:
            self._tolerantly(lambda board=board: board.announce(self.name, None))  # type: ignore[misc]

    def among(self, folder: Path) -> Claims:
        """Its claims among the sessions that meet in another folder: it beats there too."""
        board = Board(folder)
        board.announce(self.name, self._told())
        self._boards.append(board)
        return Claims(board, self.name)

    def tell_whether_tracking(self, tracks: bool) -> None:
        """Tell the others whether it sends its trials to MLflow itself."""
        if tracks != self._holder.tracks:
            self._holder = replace(self._holder, tracks=tracks)
            self._tolerantly(self._announce)

    def is_alone(self) -> bool:
        """Whether no other session of the study runs."""
        return not any(self.claims.alive(other) for other in self.board.sessions() - {self.name})

    def _keep_beating(self) -> None:
        while not self._over.wait(BEAT):
            self._beat += 1
            self._tolerantly(self._announce)

    def _announce(self) -> None:
        for board in self._boards:
            board.announce(self.name, self._told())

    def _told(self) -> str:
        return json.dumps(asdict(self._holder) | {"beat": self._beat})

    def _tolerantly(self, act: Callable[[], Any]) -> None:
        """A beat that is missed is no reason to stop: the next one, or EXPIRES, will do."""
        try:
            act()
        except Exception as error:
            log.debug("no heartbeat: %s", error)


def user() -> str:
    """The user who runs this, as the operating system knows them."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container whose user has no name
        return str(os.getuid())


def _machine() -> str:
    """This boot of this machine, and the space of its process ids: a container has its own."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    except OSError:
        return f"{socket.gethostname()} {uuid.getnode()}"


def _started(pid: int) -> str | None:
    """When a process started, in the kernel's ticks (a reused id has another start); None: it runs no more."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]
