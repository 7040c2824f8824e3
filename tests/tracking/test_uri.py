import http.server
import socket
import threading
import time
from pathlib import Path

import pytest

from study.tracking.uri import TrackingRefused, absolute, check, without_secrets


@pytest.fixture(autouse=True)
def _no_ambient_uri(monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def test_default_is_an_absolute_database_in_the_storage(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute(None, Path("runs")) == f"sqlite:///{tmp_path}/runs/mlflow.db"


def test_mlflows_own_variable_is_the_default_before_that(monkeypatch, tmp_path):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://tracking:5000")
    assert absolute(None, tmp_path) == "http://tracking:5000"


def test_relative_database_becomes_absolute(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert absolute("sqlite:///mlflow.db", Path("elsewhere")) == f"sqlite:///{tmp_path}/mlflow.db"


@pytest.mark.parametrize(
    "uri", ["http://host:5000", "https://host/mlflow", "postgresql+psycopg://u:p@db/mlflow", "databricks"]
)
def test_other_tracking_uris_stay_as_they_are(uri, tmp_path):
    assert absolute(uri, tmp_path) == uri


@pytest.mark.parametrize("uri", ["/data/mlruns", "file:///data/mlruns", "file:/data/mlruns"])
def test_plain_file_store_is_refused_with_what_to_type(uri, tmp_path):
    with pytest.raises(TrackingRefused, match=r"plain file store.*write sqlite:////data/mlruns/mlflow\.db"):
        absolute(uri, tmp_path)


def test_uri_without_scheme_is_refused_with_what_to_type(tmp_path):
    with pytest.raises(
        TrackingRefused, match=r"starts with its scheme, got 'localhost:5000'; write http://localhost:5000"
    ):
        absolute("localhost:5000", tmp_path)


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("http://", "names no server; write http://HOST:PORT"),
        ("http://host:port", "the port is a number"),
        ("postgresql://host:port/x", "the port is a number"),
    ],
)
def test_a_server_without_host_or_with_a_word_for_its_port_is_refused(uri, message):
    with pytest.raises(TrackingRefused, match=message):
        check(uri)


def test_a_folder_is_no_database(tmp_path):
    with pytest.raises(TrackingRefused, match=rf"is a folder.*write sqlite:///{tmp_path}/mlflow\.db"):
        check(f"sqlite:///{tmp_path}")


def test_unknown_scheme_is_refused_with_the_nearest_one(tmp_path):
    with pytest.raises(TrackingRefused, match=r"'htp://host'; did you mean 'http'\?"):
        absolute("htp://host", tmp_path)


def test_refusal_does_not_show_a_password(tmp_path):
    with pytest.raises(TrackingRefused) as refusal:
        absolute("htp://ada:hunter2@host", tmp_path)
    assert "hunter2" not in str(refusal.value)


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_server_that_is_not_there_is_refused_at_once_with_the_fix():
    port, started = free_port(), time.monotonic()
    with pytest.raises(
        TrackingRefused, match=rf"no MLflow server answers at http://127\.0\.0\.1:{port}.*mlflow server"
    ):
        check(f"http://127.0.0.1:{port}")
    assert time.monotonic() - started < 2


def test_server_that_accepts_and_says_nothing_is_refused_in_time():
    with socket.create_server(("127.0.0.1", 0)) as listener, pytest.raises(TrackingRefused, match=r"within 0\.2 s"):
        check(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout=0.2)


def test_database_that_is_not_there_is_refused():
    with pytest.raises(TrackingRefused, match="no database answers") as refusal:
        check(f"postgresql://ada:hunter2@127.0.0.1:{free_port()}/mlflow")
    assert "hunter2" not in str(refusal.value)


def test_folder_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(TrackingRefused, match="cannot create"):
        check(f"sqlite:///{tmp_path}/file/folder/mlflow.db")


@pytest.mark.parametrize(("status", "accepted"), [(200, True), (401, True), (503, False)])
def test_answer_of_the_server_decides(status, accepted):
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.handle_request, daemon=True).start()
        uri = f"http://ada:hunter2@127.0.0.1:{server.server_port}"
        if accepted:
            check(uri)
        else:
            with pytest.raises(TrackingRefused, match="HTTP 503"):
                check(uri)


@pytest.mark.parametrize(
    ("text", "clean"),
    [
        ("s3://key:secret@bucket/data", "s3://bucket/data"),
        ("https://host/x?token=abc&k=64", "https://host/x?token=***&k=64"),
        ('{"api_key": "abc", "k": 64}', '{"api_key": "***", "k": 64}'),
        ("MLFLOW_TRACKING_PASSWORD=abc", "MLFLOW_TRACKING_PASSWORD=***"),
        ("k=64, temperature=0.1", "k=64, temperature=0.1"),
    ],
)
def test_secrets_are_taken_out_and_nothing_else(text, clean):
    assert without_secrets(text) == clean


def test_relative_file_store_is_told_where_its_database_would_be(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(TrackingRefused, match=rf"write sqlite:///{tmp_path}/mlruns/mlflow\.db"):
        absolute("file:./mlruns", tmp_path)
