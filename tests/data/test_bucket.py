"""Images in an object store: real S3 requests to a server on this machine."""

import pickle
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from study.data.files import absolute, entries, place, state
from study.data.image_folder import ImageFolder

pytestmark = [  # aiobotocore leaves its connections to the garbage collector; botocore and moto use what is deprecated
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
MakeFiles = Callable[..., dict[str, bytes]]
Write = Callable[..., Path]


def upload(local: Path, uri: str) -> str:
    import s3fs

    s3fs.S3FileSystem().put(str(local), uri, recursive=local.is_dir())
    return uri


def source(root: str | Path, **parameters: object) -> ImageFolder:
    return ImageFolder(root=str(root), **({"validation_size": 0} | parameters))


def test_a_folder_and_archives_in_a_bucket_are_what_they_are_on_disk(
    bucket: str, image_files: MakeFiles, write_folder: Write, write_tar: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = image_files() | {"train/cat/notes.txt": b"x"}
    local, there = write_folder(files), [write_folder(files), write_tar(files), write_tar(files, "b.tar")]
    before = source(local).load()
    for number, path in enumerate(there):
        uri = upload(path, f"{bucket}/{number}{path.suffix}")
        monkeypatch.setenv("STUDY_CACHE", str(local.parent / f"cache{number}"))
        data = source(uri)
        assert data.content() == source(local).content()
        assert pickle.loads(pickle.dumps(data)).load().digest == before.digest
        assert data.shape() == before.shape


def test_what_changes_in_a_bucket_is_seen(bucket: str, image_files: MakeFiles, write_folder: Write) -> None:
    local = write_folder(image_files())
    uri = upload(local, f"{bucket}/images")
    before, listed = state(place(uri)), source(uri).content()
    assert state(place(uri)) == before
    (local / "train/cat/0.png").write_bytes((local / "train/cat/1.png").read_bytes())
    upload(local / "train/cat/0.png", f"{bucket}/images/train/cat/0.png")
    assert state(place(uri)) != before
    assert source(uri).content() != listed


def test_what_is_not_there_is_named(bucket: str) -> None:
    with pytest.raises(FileNotFoundError, match=r"/nothing does not exist; set data.root"):
        source(f"{bucket}/nothing").check()
    with pytest.raises(FileNotFoundError, match=r"s3://no-such-bucket/x does not exist; set data.root"):
        source("s3://no-such-bucket/x").check()


def test_a_uri_stays_as_it_is() -> None:
    assert absolute("s3://bucket/images") == "s3://bucket/images"
    assert source("gs://bucket/images").root == "gs://bucket/images"


@pytest.mark.parametrize(
    ("scheme", "hint"),
    [("gs", "gs:// needs a package that is not installed: pip install gcsfs"),
     ("hf", "hf:// needs a package that is not installed: pip install huggingface_hub"),
     ("abfs", "abfs:// needs a package that is not installed: .*adlfs"),
     ("xyz", "xyz://a/b has a scheme that is not known; set data.root")],
)  # fmt: skip
def test_a_package_that_is_not_installed_is_named(scheme: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("gcsfs", "huggingface_hub", "adlfs"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ValueError, match=hint):
        source(f"{scheme}://a/b").check()


def test_filesystems_of_every_kind_are_listed_alike(image_files: MakeFiles) -> None:
    root = place("memory://images")
    for path, content in image_files().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    found = {str(entry.path): entry for entry in entries(root)}
    assert [path for path, entry in found.items() if entry.read is None] == [
        "test", "test/cat", "test/dog", "train", "train/cat", "train/dog",
    ]  # fmt: skip
    assert {path: entry.read() for path, entry in found.items() if entry.read} == image_files()
    assert source("memory://images").load().shape.train == 6
