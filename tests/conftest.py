"""A trial that takes about a second, a cache and a storage of the tests' own, and number formats as a dimension."""

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from study import TrialConfig

if TYPE_CHECKING:
    from study.trial.trial import Trial

TINY: dict[str, Any] = {
    "data": {"name": "shapes", "train_size": 256, "test_size": 100},
    "encoder": {"name": "conv-small", "width": 4},
    "head": {"name": "mlp", "dim": 16},
    "evaluations": ["linear", "contrastive"],
    "evaluation_views": 2,
    "batch_size": 64,
    "epochs": 3,
}


def undrawn(trial: "Trial") -> "Trial":
    """The trial, of which no figures will be drawn: they take as long as all of its training."""
    vars(trial.parts)["figures"] = {}
    return trial


@pytest.fixture
def tiny() -> TrialConfig:
    return TrialConfig(**TINY)


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data is drawn once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(autouse=True)
def own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, cache: Path) -> None:
    monkeypatch.setenv("STUDY_CACHE", str(cache))
    monkeypatch.setenv("STUDY_STORAGE", str(tmp_path / "runs"))


@pytest.fixture(params=["float32", "bfloat16"])
def each_precision(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The precision that `auto` stands for in this test, in the workers that it starts too."""
    monkeypatch.setenv("STUDY_BFLOAT16", "1" if request.param == "bfloat16" else "0")
    return request.param


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """The address of a server that speaks S3, on loopback."""
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket(s3_server: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """The URI of a new, empty bucket, which this process has access to."""
    import s3fs

    monkeypatch.setenv("AWS_ENDPOINT_URL", s3_server)
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    s3fs.S3FileSystem.clear_instance_cache()
    name = tmp_path.name.replace("_", "-").lower()
    s3fs.S3FileSystem().mkdir(name)
    return f"s3://{name}"
