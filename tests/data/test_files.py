import io
import os
import tarfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from study.data.files import entries, state

Files = dict[str, bytes]
FILES: Files = {f"train/{name}/{i}.bin": os.urandom(3000) for name in ("a", "b") for i in range(3)}


def contents(root: Path) -> Files:
    return {str(entry.path): entry.read() for entry in entries(root) if entry.read is not None}


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
def test_an_archive_holds_what_the_folder_holds(
    name: str, write_folder: Callable[..., Path], write_tar: Callable[..., Path]
) -> None:
    assert contents(write_folder(FILES)) == contents(write_tar(FILES, name)) == FILES


def test_empty_folders_are_told_and_hidden_names_are_not(write_folder: Callable[..., Path]) -> None:
    root = write_folder({"train/a/1.bin": b"1", "train/a/._1.bin": b"", ".git/config": b""})
    (root / "train" / "empty").mkdir()
    found = {str(entry.path) for entry in entries(root)}
    assert found == {"train", "train/a", "train/a/1.bin", "train/empty"}


def test_a_missing_root_is_named() -> None:
    with pytest.raises(FileNotFoundError, match=r"/nowhere/x.tar does not exist; set data.root"):
        entries(Path("/nowhere/x.tar"))
    with pytest.raises(FileNotFoundError, match=r"/nowhere/x.tar does not exist; set data.root"):
        state(Path("/nowhere/x.tar"))


def plain(name: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = 3
    return member


def link(kind: bytes, target: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo("train/a/link.png")
    member.type, member.linkname = kind, target
    return member


@pytest.mark.parametrize(
    "member",
    [
        plain("/etc/passwd"),
        plain("../../outside.png"),
        plain("train/a/../../../outside.png"),
        link(tarfile.SYMTYPE, "/etc/passwd"),
        link(tarfile.LNKTYPE, "../outside"),
        link(tarfile.FIFOTYPE, ""),
    ],
    ids=["absolute", "parent", "parent inside", "symbolic link", "hard link", "pipe"],
)
def test_members_that_could_reach_outside_are_refused(tmp_path: Path, member: tarfile.TarInfo) -> None:
    with tarfile.open(tmp_path / "evil.tar", "w") as archive:
        archive.addfile(plain("train/a/0.png"), io.BytesIO(b"abc"))
        archive.addfile(member, io.BytesIO(b"abc") if member.isfile() else None)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    with pytest.raises(ValueError, match=r"evil.tar holds '.*', which could reach outside it; pack the archive again"):
        contents(tmp_path / "evil.tar")
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


@pytest.mark.parametrize("name", ["x.tar", "x.tar.gz", "x.tar.bz2", "x.tar.xz"])
def test_an_archive_cut_off_anywhere_is_refused(name: str, write_tar: Callable[..., Path]) -> None:
    root = write_tar(FILES, name)
    whole = root.read_bytes()
    end = len(whole) if name != "x.tar" else 6 * (512 + 3072) + 512  # an uncompressed one is padded with zeros
    for cut in range(0, end, end // 40):
        root.write_bytes(whole[:cut])
        with pytest.raises(ValueError, match=r"is not a whole tar archive .*fetch it again"):
            contents(root)


def test_a_file_that_is_no_archive_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK" + bytes(2000))
    with pytest.raises(ValueError, match=r"x.zip is not a whole tar archive"):
        contents(tmp_path / "x.zip")


def test_an_overwritten_header_is_refused_not_taken_for_the_end(write_tar: Callable[..., Path]) -> None:
    root = write_tar(FILES, "x.tar")
    content = bytearray(root.read_bytes())
    start = 3 * (512 + 3072)
    content[start : start + 512] = os.urandom(512)
    root.write_bytes(content)
    with pytest.raises(ValueError, match="cut off or overwritten"):
        contents(root)


def test_the_state_changes_with_the_files(write_folder: Callable[..., Path], write_tar: Callable[..., Path]) -> None:
    for root, file in ((write_folder(FILES), "folder/train/a/0.bin"), (write_tar(FILES), "archive.tar.gz")):
        before = state(root)
        assert before == state(root)
        os.utime(root.parent / file, ns=(5, 5))
        assert before != state(root)


def test_a_folder_that_links_to_itself_ends(write_folder: Callable[..., Path]) -> None:
    root = write_folder({"train/a/0.bin": b"0"})
    (root / "train" / "loop").symlink_to(root)
    assert max(len(entry.path.parts) for entry in entries(root)) < 10
    assert PurePosixPath("train/a/0.bin") in {entry.path for entry in entries(root)}
