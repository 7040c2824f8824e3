"""Which code a trial ran: of a checkout, of an upload without .git, with a stamp and without one."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from study.machine import provenance
from study.machine.devices import driver_version

ROOT = Path(__file__).parents[2]
GIT = {"GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_SYSTEM": "/dev/null"}
GIT |= {f"GIT_{who}_{what}": "a@b.c" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}


def git(folder: Path, *arguments: str) -> str:
    command = ["git", *arguments]
    done = subprocess.run(command, cwd=folder, env=os.environ | GIT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


def copied(folder: Path) -> Path:
    """The little of the package that tells where it is from."""
    for name in ("study/__init__.py", "study/machine/__init__.py", "study/machine/provenance.py", "pyproject.toml"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / "models").mkdir()
    (folder / "models" / "k.py").write_text("K = 1\n")
    return folder


def told(folder: Path) -> dict[str, Any]:
    script = "import json; from study.machine.provenance import provenance; print(json.dumps(provenance()))"
    return printed(folder, "-c", script)


def stamped(folder: Path) -> dict[str, Any]:
    return printed(folder, "-m", "study.machine.provenance")


def printed(folder: Path, *arguments: str) -> dict[str, Any]:
    command = [sys.executable, *arguments]
    return json.loads(subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    folder = copied(tmp_path / "checkout")
    git(folder, "init", "--quiet")
    git(folder, "add", ".")
    git(folder, "commit", "--quiet", "--message", "first")
    return folder


def test_a_checkout_tells_its_commit_and_a_change_by_the_digest_of_its_diff(checkout: Path) -> None:
    before = told(checkout)
    assert before["git_commit"] == git(checkout, "rev-parse", "HEAD")
    assert before["git_changed"] is False
    assert "git_diff" not in before
    (checkout / "models" / "k.py").write_text("K = 2\n")
    after = told(checkout)
    assert (after["git_commit"], after["git_changed"]) == (before["git_commit"], True)
    assert after["code"] != before["code"]
    assert after["git_diff"] == provenance.digest_of_diff(
        subprocess.run(["git", "diff", "HEAD"], cwd=checkout, capture_output=True, text=True, check=True).stdout
    )


def test_new_python_files_that_git_does_not_track_are_a_change_and_in_the_diff(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".gitignore").write_text("ignored.py\n")
    (checkout / "models" / "ignored.py").write_text("IGNORED = 1\n")
    (checkout / "models" / "notes.txt").write_text("no code\n")
    assert told(checkout)["git_changed"] is False
    (checkout / "study" / "deeper").mkdir()
    (checkout / "study" / "deeper" / "mine é.py").write_text("MINE = 1\n")
    (checkout / "models" / "empty.py").touch()
    index = git(checkout, "ls-files", "--stage")
    assert told(checkout)["git_changed"] is True
    (checkout / "models" / "k.py").write_text("K = 2\n")
    (checkout / "models" / "ignored.py").unlink()
    found, diff = told(checkout), stamped(checkout)["diff"]
    assert git(checkout, "ls-files", "--stage") == index, "what the user has staged stays as it is"
    assert found["git_diff"] == provenance.digest_of_diff(diff)
    (tmp_path / "code.diff").write_text(diff)
    git(tmp_path, "clone", "--quiet", str(checkout), "again")
    git(tmp_path / "again", "apply", str(tmp_path / "code.diff"))
    assert told(tmp_path / "again")["code"] == found["code"]


def test_an_upload_with_its_stamp_tells_what_the_checkout_did(checkout: Path, tmp_path: Path) -> None:
    (checkout / "models" / "new.py").write_text("NEW = 1\n")
    bin_folder = tmp_path / "bin"
    bin_folder.mkdir()
    upload = tmp_path / "upload"
    (bin_folder / "ray").write_text(
        f'#!/bin/sh\necho "$@" >{tmp_path}/said; mkdir {upload}; cp -r models study *.toml {upload}\n'
    )
    (bin_folder / "ray").chmod(0o755)
    (checkout / "deploy").mkdir()
    shutil.copy(ROOT / "deploy" / "submit.sh", checkout / "deploy")
    environment = os.environ | {"PATH": f"{bin_folder}:{Path(sys.executable).parent}:{os.environ['PATH']}"}
    command = ["bash", str(checkout / "deploy" / "submit.sh"), "--no-wait", "--", "study", "run", "quickstart"]
    subprocess.run(command, cwd=tmp_path, env=environment, check=True)
    assert (tmp_path / "said").read_text() == "job submit --working-dir . --no-wait -- study run quickstart\n"
    assert told(upload) == told(checkout)
    assert told(upload)["git_changed"] is True
    assert not (checkout / "study" / "stamp.json").exists()


def test_an_upload_without_a_stamp_tells_its_version_and_the_digest_of_its_files(
    checkout: Path, tmp_path: Path
) -> None:
    known = told(checkout)
    bare = shutil.copytree(checkout, tmp_path / "bare", ignore=shutil.ignore_patterns(".git"))
    assert told(bare) == {"version": known["version"], "code": known["code"]}


def test_the_commit_of_a_checkout_that_it_is_merely_installed_in_is_not_taken_for_its_own(tmp_path: Path) -> None:
    git(tmp_path, "init", "--quiet")
    git(tmp_path, "commit", "--quiet", "--allow-empty", "--message", "of another project")
    assert "git_commit" not in told(copied(tmp_path / "site-packages"))


@pytest.mark.parametrize(
    ("text", "version"),
    [
        ("NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\n", "535.104.05"),
        ("NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  560.35.03  Release Build\n", "560.35.03"),
        ("something else\n", ""),
    ],
)
def test_the_drivers_version_is_read_from_the_kernel(text: str, version: str, tmp_path: Path) -> None:
    (tmp_path / "version").write_text(text)
    assert driver_version(tmp_path / "version") == version
    assert driver_version(tmp_path / "none") == ""
