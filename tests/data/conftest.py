import io
import tarfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("STUDY_DATA", raising=False)


@pytest.fixture
def shared() -> Path:
    folder = Path(__file__).parents[2].parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip("the shared data folder is not beside this checkout")
    return folder


def image_bytes(seed: int, size: tuple[int, int] = (32, 32), form: str = "PNG") -> bytes:
    pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def image_files() -> Callable[..., dict[str, bytes]]:
    """Path → bytes of `count` images a class in each split."""

    def make(
        classes: tuple[str, ...] = ("cat", "dog"), splits: tuple[str, ...] = ("train", "test"), count: int = 3
    ) -> dict[str, bytes]:
        names = [f"{s}/{c}/{i}.png" for s in splits for c in classes for i in range(count)]
        return {name: image_bytes(seed) for seed, name in enumerate(names)}

    return make


@pytest.fixture
def write_folder(tmp_path: Path) -> Callable[..., Path]:
    def write(files: dict[str, bytes], name: str = "folder") -> Path:
        for path, content in files.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
        return tmp_path / name

    return write


@pytest.fixture
def write_tar(tmp_path: Path) -> Callable[..., Path]:
    def write(files: dict[str, bytes], name: str = "archive.tar.gz", top: str = "") -> Path:
        with tarfile.open(tmp_path / name, f"w:{name.rpartition('.')[2].replace('tar', '')}") as archive:
            for path, content in reversed(files.items()):
                member = tarfile.TarInfo(top + path)
                member.size = len(content)
                archive.addfile(member, io.BytesIO(content))
        return tmp_path / name

    return write
