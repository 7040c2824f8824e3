"""Which code this is: its version, a digest of its files, the commit and what differs from it.

Of an uploaded copy without .git the last two come from a file that `deploy/submit.sh` writes before the upload:
`python -m study.machine.provenance` prints it.
"""

import hashlib
import importlib.metadata
import json
import subprocess
import tomllib
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
CODE = ("models", "study")
STAMP = ROOT / "study" / "stamp.json"
DIGITS = 12
"""Hexadecimal digits of a SHA-256."""


def provenance() -> dict[str, Any]:
    """version, code (the digest), git_commit, git_changed, and where that is true git_diff, the digest of the diff;
    without the last three where neither a checkout nor a stamp tells the commit."""
    commit, diff = commit_and_diff()
    found: dict[str, Any] = {"version": version(), "code": code_digest()}
    if commit:
        found |= {"git_commit": commit, "git_changed": bool(diff)}
    if diff:
        found["git_diff"] = digest_of_diff(diff)
    return found


@cache
def commit_and_diff() -> tuple[str, str]:
    """The commit that this package's files are at, and the diff of them from it, of a checkout or as it was when the
    code was uploaded; empty where neither is known."""
    try:
        _git("ls-files", "--error-unmatch", "study/__init__.py")  # else it is installed within somebody's checkout
        return _git("rev-parse", "HEAD").strip(), _diff()
    except (OSError, subprocess.SubprocessError):
        pass
    with suppress(OSError, ValueError, KeyError, TypeError):
        stamp = json.loads(STAMP.read_text())
        return str(stamp["commit"]), str(stamp["diff"])
    return "", ""


def _diff() -> str:
    """Of the tracked files from HEAD, then of Python files that are neither tracked nor ignored, as `code` has them."""
    python = [f"{folder}/*.py" for folder in CODE]
    new = _git("ls-files", "--others", "--exclude-standard", "-z", "--", *python).split("\0")[:-1]
    tracked = _git("diff", "--relative", "HEAD", "--", *CODE)
    return tracked + "".join(_git("diff", "--no-index", "--", "/dev/null", path, status=1) for path in new)


def digest_of_diff(diff: str) -> str:
    """The name that results know a diff by."""
    return hashlib.sha256(diff.encode()).hexdigest()[:DIGITS]


@cache
def code_digest() -> str:
    """Digest of the names and contents of the files: the same of a checkout, an upload and an installation."""
    digest = hashlib.sha256()
    for path in sorted(path for folder in CODE for path in (ROOT / folder).rglob("*.py")):
        digest.update(f"{path.relative_to(ROOT).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return digest.hexdigest()[:DIGITS]


def version() -> str:
    """The package's version: of the code itself, where that lies here unpacked, else of the installed package."""
    with suppress(OSError, KeyError):
        return str(tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"])
    with suppress(importlib.metadata.PackageNotFoundError):
        return importlib.metadata.version("negatives-study")
    return ""


def _git(*arguments: str, status: int = 0) -> str:
    """Its output; SubprocessError where it ends with another status (1 of `diff --no-index`: they differ)."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, timeout=10)
    if done.returncode != status:
        raise subprocess.SubprocessError(done.stderr.decode(errors="replace"))
    return done.stdout.decode(errors="replace")


if __name__ == "__main__":
    print(json.dumps(dict(zip(("commit", "diff"), commit_and_diff(), strict=True))))
