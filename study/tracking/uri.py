"""Where a study is tracked: an MLflow tracking URI, made absolute and checked in seconds without loading MLflow."""

import os
import re
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import unquote, urlsplit

from models.registry import did_you_mean
from study.storage.store import is_local

TIMEOUT = 5.0  # seconds within which a server must answer before a study starts
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
SCHEMES = ["sqlite", "http", "https", "databricks", *PORTS]
OFF = "off"
"""In place of a tracking URI: this session sends nothing."""

_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_SECRETS = re.compile(
    r"(?i)\b([\w-]*(?:token|password|passwd|secret|signature|api_?key)[\w-]*[\"']?\s*[=:]\s*[\"']?)[^\s&,;\"']+"
)


class TrackingRefused(ValueError):
    """A tracking URI that cannot be used; the message says what to type instead."""


def without_secrets(text: str) -> str:
    """The text without user:password in URIs and without the values of tokens, passwords and signatures."""
    return _SECRETS.sub(r"\1***", _CREDENTIALS.sub("", text))


def is_off(uri: str | None) -> bool:
    """Whether a session is to leave its trials to one that tracks, or to a later run."""
    return (uri or os.environ.get("MLFLOW_TRACKING_URI")) == OFF


def absolute(uri: str | None, storage: Path) -> str:
    """The absolute tracking URI; None: $MLFLOW_TRACKING_URI, else a database in the storage folder.

    Raises TrackingRefused for a URI without a scheme, an unknown scheme, MLflow's plain file store, and None where the
    storage is an object store, which no database can live in.
    """
    uri = uri or os.environ.get("MLFLOW_TRACKING_URI") or _beside(storage)
    if uri == OFF:
        raise TrackingRefused("tracking is off here; say where MLflow is: --tracking-uri http://HOST:5000")
    scheme = urlsplit(uri).scheme.partition("+")[0]
    if scheme == "file" or uri.startswith(("/", ".", "~")):
        folder = Path(re.sub("^file:(//)?", "", uri)).expanduser().absolute()
        raise TrackingRefused(
            f"MLflow has given up its plain file store ({without_secrets(uri)}); write sqlite:///{folder}/mlflow.db"
        )
    if uri == "databricks" or (scheme in SCHEMES and "://" in uri):
        file, query = database(uri), uri.partition("?")[2]
        return uri if file is None else _sqlite(file.expanduser().absolute()) + (f"?{query}" if query else "")
    if "://" in uri:
        raise TrackingRefused(
            f"unknown scheme of the tracking URI {without_secrets(uri)!r}{did_you_mean(scheme, SCHEMES)} "
            f"(known: {', '.join(SCHEMES)})"
        )
    raise TrackingRefused(
        f"a tracking URI starts with its scheme, got {uri!r}; write http://{uri} for a server, "
        f"or sqlite:///{Path(uri).absolute()} for a database file"
    )


def _beside(storage: Path) -> str:
    if is_local(storage):
        return _sqlite(storage.absolute() / "mlflow.db")
    raise TrackingRefused(
        f"MLflow's database cannot live in {storage}; say where MLflow is: --tracking-uri http://HOST:5000 for a "
        "server, or --tracking-uri sqlite:////PATH/mlflow.db for a file of this machine"
    )


def database(uri: str) -> Path | None:
    """The file of a SQLite database, in whose address a ? is %3F and a % is %25; None: it is another server."""
    prefix, slashes, rest = uri.partition(":///")
    is_file = slashes and prefix.partition("+")[0] == "sqlite"
    return Path(unquote(rest.partition("?")[0])) if is_file else None


def _sqlite(file: Path) -> str:
    return f"sqlite:///{str(file).replace('%', '%25').replace('?', '%3F')}"


def hint(uri: str) -> str:
    """Advice where MLflow at an address fails, by the kind of address."""
    if (file := database(uri)) is not None:
        return (
            f"see that {file} is MLflow's and can be written, or name another: --tracking-uri sqlite:////PATH/mlflow.db"
        )
    login = "MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD (or MLFLOW_TRACKING_TOKEN)"
    what = f"the server and {login}" if uri.startswith("http") else "the database, and user name and password for it"
    return f"check {what}, or leave the tracking URI out to track in a local file"


def check(uri: str, timeout: float = TIMEOUT) -> None:
    """Raise TrackingRefused unless the database's folder can be written or the server answers within `timeout` s."""
    parts = urlsplit(uri)
    scheme = parts.scheme.partition("+")[0]
    if scheme == "sqlite":
        file = database(uri)
        if file is None:
            raise TrackingRefused(f"{uri} names no file; write sqlite:////PATH/mlflow.db")
        if file.is_dir():
            raise TrackingRefused(f"{file} is a folder, and the database a file; write sqlite:///{file / 'mlflow.db'}")
        _check_folder(file.parent)
        return
    try:
        port = parts.port
    except ValueError:
        raise TrackingRefused(
            f"the port is a number, got {without_secrets(uri)!r}; write {scheme}://HOST:PORT"
        ) from None
    if scheme in ("http", "https"):
        if not parts.hostname:
            raise TrackingRefused(f"{without_secrets(uri)!r} names no server; write {scheme}://HOST:PORT")
        _check_server(without_secrets(uri).rstrip("/"), timeout)
    elif scheme in PORTS:
        try:
            socket.create_connection((parts.hostname or "localhost", port or PORTS[scheme]), timeout).close()
        except OSError as error:
            raise TrackingRefused(
                f"no database answers at {without_secrets(uri)} within {timeout:g} s ({error}); start it, "
                "or leave the tracking URI out to track in a local file"
            ) from None


def _check_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrackingRefused(f"cannot create {folder} for the tracking database: {error.strerror}") from None
    if not os.access(folder, os.W_OK):
        raise TrackingRefused(
            f"cannot write the tracking database in {folder}; name another place: sqlite:////PATH/mlflow.db"
        )


def _check_server(address: str, timeout: float) -> None:
    """Any answer below 500 will do: a server that asks for credentials is there."""
    try:
        urllib.request.urlopen(f"{address}/health", timeout=timeout).close()
        return
    except urllib.error.HTTPError as error:
        error.close()
        if error.code < 500:
            return
        why = f"HTTP {error.code}"
    except OSError as error:  # URLError and timeouts
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLError):  # someone answers; MLflow knows which certificates the user trusts
            return
        why = str(reason)
    parts = urlsplit(address)
    raise TrackingRefused(
        f"no MLflow server answers at {address} within {timeout:g} s ({why}); "
        f"start one (mlflow server --host {parts.hostname} --port {parts.port or 5000}), "
        "or leave the tracking URI out to track in a local file"
    )
