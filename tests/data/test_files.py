import io
import os
import stat
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path, PurePosixPath

import pytest

from study.data import DATASETS
from study.data.files import entries, printable, state

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


@pytest.mark.parametrize("name", ["image_folder", "ag_news", "cifar10", "torchvision:SVHN"])
def test_a_root_may_be_a_path(name: str, tmp_path: Path) -> None:
    made = DATASETS[name]
    assert made(root=tmp_path) == made(root=str(tmp_path))


@pytest.mark.parametrize(
    ("root", "message"),
    [
        (3, "root must be a path or a URI as text, not 3"),
        (Path("s3://bucket/images"), "s3:/bucket/images is a URI without its second slash, .* text s3://bucket/images"),
    ],
)
def test_a_root_that_is_no_path_is_refused(root: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        DATASETS["image_folder"](root=root)


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


@pytest.mark.parametrize(
    ("name", "kind"), [("x.zip", "zip"), ("x.tar", "tar"), ("x.tgz", "tar"), ("x.PARQUET", "parquet")]
)
def test_a_file_that_is_no_archive_is_refused(name: str, kind: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"PAR1" + bytes(2000))
    with pytest.raises(ValueError, match=rf"{name} is not a whole {kind} (archive|file) \(.*\); fetch it again"):
        contents(tmp_path / name)


@pytest.mark.parametrize("name", ["x.jpg", "x.csv", "x"])
def test_a_file_of_another_kind_is_not_taken_for_a_broken_archive(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"file_name,label\n" * 99)
    with pytest.raises(ValueError, match=rf"{name} is no archive \(tar, zip\) and no .parquet file; set data.root to"):
        contents(tmp_path / name)


def test_an_archive_may_have_any_name(write_tar: Callable[..., Path]) -> None:
    archive = write_tar(FILES, "x.tar.gz")
    assert contents(archive.rename(archive.with_name("download"))) == FILES


@pytest.mark.parametrize(
    ("start", "kind"), [(b"\x28\xb5\x2f\xfd", "zstd"), (b"7z\xbc\xaf\x27\x1c", "7-Zip"), (b"Rar!\x1a", "RAR")]
)
def test_an_archive_of_a_kind_that_is_not_read_is_to_be_unpacked(start: bytes, kind: str, tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(start + bytes(2000))
    with pytest.raises(ValueError, match=f"x is a {kind} archive, which is not read; unpack it, and set data.root"):
        contents(tmp_path / "x")


def write_zip(path: Path, files: Files) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.mkdir("train")
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def test_a_zip_archive_holds_what_the_folder_holds(tmp_path: Path) -> None:
    root = write_zip(tmp_path / "x.zip", FILES)
    assert contents(root) == FILES
    assert PurePosixPath("train") in {entry.path for entry in entries(root) if entry.read is None}
    backslashes = write_zip(tmp_path / "windows.zip", {name.replace("/", "\\"): b for name, b in FILES.items()})
    assert contents(backslashes) == FILES


def test_a_damaged_zip_archive_is_refused(tmp_path: Path) -> None:
    root = write_zip(tmp_path / "x.zip", FILES)
    whole = root.read_bytes()
    for damaged in (whole[:-100], whole[: len(whole) // 2], whole[:2000] + bytes(64) + whole[2064:]):
        root.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"x.zip is not a whole zip archive .*fetch it again"):
            contents(root)


@pytest.mark.parametrize("name", ["/etc/passwd", "../outside.png", "..\\outside.png", "train/a/link.png"])
def test_members_of_a_zip_that_could_reach_outside_are_refused(name: str, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        member = zipfile.ZipInfo(name)
        member.external_attr = (stat.S_IFLNK if name.endswith("link.png") else stat.S_IFREG) << 16
        archive.writestr(member, "/etc/passwd")
    with pytest.raises(ValueError, match=r"evil.zip holds '.*', which could reach outside it; pack the archive again"):
        contents(tmp_path / "evil.zip")


def test_what_operating_systems_leave_behind_is_left_out(write_tar: Callable[..., Path]) -> None:
    clutter = {"__MACOSX/train/a/0.bin": b"", "train/@eaDir/0.bin": b"", "train/a/.DS_Store": b""}
    assert contents(write_tar(FILES | clutter)) == FILES


def test_a_link_that_leads_nowhere_is_told_and_cannot_be_read(write_folder: Callable[..., Path]) -> None:
    root = write_folder(FILES)
    (root / "train" / "a" / "gone.bin").symlink_to("/nowhere/0.bin")
    lost = {str(entry.path): entry for entry in entries(root) if entry.lost}
    assert lost.keys() == {"train/a/gone.bin"}
    assert lost["train/a/gone.bin"].lost == "a link to /nowhere/0.bin, which does not exist"
    with pytest.raises(FileNotFoundError, match=r"a link to /nowhere/0.bin, which does not exist"):
        lost["train/a/gone.bin"].read()
    assert (str(root / "train" / "a" / "gone.bin"), -1, -1) in state(root)


def test_a_link_that_leads_back_to_itself_is_no_endless_walk(write_folder: Callable[..., Path]) -> None:
    root = write_folder(FILES)
    (root / "train/a/one").symlink_to("two")
    (root / "train/a/two").symlink_to("one")
    lost = {entry.path.name: entry.lost for entry in entries(root) if entry.lost}
    assert lost == {
        "one": "a link to two, which is a link that leads nowhere",
        "two": "a link to one, which is a link that leads nowhere",
    }


@pytest.mark.parametrize("target", [".", "..", "../.."])
def test_a_link_to_a_folder_that_holds_it_is_not_followed(target: str, write_folder: Callable[..., Path]) -> None:
    root = write_folder(FILES)
    (root / "train" / "a" / "loop").symlink_to(target)
    assert contents(root) == FILES


def test_links_to_other_folders_are_followed(write_folder: Callable[..., Path]) -> None:
    elsewhere = write_folder(FILES, "elsewhere")
    root = write_folder({"test/a/0.bin": b"0"})
    (root / "train").symlink_to(elsewhere / "train")
    assert contents(root) == FILES | {"test/a/0.bin": b"0"}


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("café", "café"),
        ("cafe\u0301", "café"),
        ("caf\udce9", "café"),
        ("a\nb\x1b", "a\\x0ab\\x1b"),
        ("$\\frac$ <b>", "$\\frac$ <b>"),
        ("日本", "日本"),
    ],
    ids=["composed", "decomposed", "bytes of Latin-1", "control characters", "markup", "Japanese"],
)
def test_a_name_is_printable(name: str, shown: str) -> None:
    assert printable(name) == shown


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
