"""MLflow's server in one process, where `mlflow server` loads MLflow in two: `python -m …server PORT [STUDY]`.

The address of its store stands in MLFLOW_BACKEND_STORE_URI: a command line is open to everyone on the machine.
"""

import json
import os
import sys
import warnings
from pathlib import Path

from study.tracking import client as mlflow_client
from study.tracking.pages.ui import HOST
from study.tracking.pages.view import page
from study.tracking.uri import TrackingRefused, database, without_secrets

FIRST = {"mlflow.workflowType_v1": '"machine_learning"', "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": "true"}
"""First settings of MLflow's pages in a browser: model training, not GenAI; no assistant beside them."""
SHOWN = 5
"""Studies whose pages are told."""


def main(arguments: list[str]) -> int:
    """Serve on the loopback until a signal; 2 where there is no such study."""
    port, study = int(arguments[0]), arguments[1] if len(arguments) > 1 else None
    uri = os.environ["MLFLOW_BACKEND_STORE_URI"]
    warnings.simplefilter("ignore")  # of MLflow's dependencies
    try:
        pages = _pages(uri, f"http://{HOST}:{port}", study)
    except TrackingRefused as refused:
        print(f"study: 1 problem\n  {refused}", file=sys.stderr)
        return 2
    _serve(uri, port, pages)
    return 0


def _pages(uri: str, server: str, study: str | None) -> str:
    """Addresses to open: the page of a study, or of those that changed last."""
    client = mlflow_client.connect(uri)
    found = [e for e in client.search_experiments(order_by=["last_update_time DESC"]) if e.name != "Default"]
    names = [experiment.name for experiment in found]
    if study is not None and study not in names:
        has = f"it has {', '.join(names)}" if names else "it has none; `study run NAME` begins one"
        raise TrackingRefused(f"MLflow at {without_secrets(uri)} has no study {study!r}; {has}")
    shown = found[:SHOWN] if study is None else [e for e in found if e.name == study]
    return "\n".join(f"{experiment.name}: {page(server, experiment)}" for experiment in shown) or server


def _serve(uri: str, port: int, pages: str) -> None:
    import uvicorn
    from mlflow.server import constants

    file = database(uri)
    os.environ.update({
        constants.BACKEND_STORE_URI_ENV_VAR: uri,
        constants.SERVE_ARTIFACTS_ENV_VAR: "true",
        constants.ARTIFACT_ROOT_ENV_VAR: "mlflow-artifacts:/",
        constants.ARTIFACTS_DESTINATION_ENV_VAR: str(file.parent if file else Path()) + "/mlartifacts",
    })  # fmt: skip
    from mlflow.server import app as pages_app
    from mlflow.server.fastapi_app import app

    index = _index(Path(str(pages_app.static_folder)) / "index.html")
    pages_app.view_functions["serve"] = lambda: index

    class Server(uvicorn.Server):
        async def startup(self, *arguments: object, **options: object) -> None:
            await super().startup(*arguments, **options)  # type: ignore[arg-type]
            print(f"{pages}\n(Ctrl-C ends it)", flush=True)

    Server(uvicorn.Config(app, host=HOST, port=port, log_level="warning")).run()


def _index(file: Path) -> str:
    """MLflow's page with what a browser remembers of it, where that does not yet."""
    known = json.dumps(FIRST)
    script = f"for (const [k, v] of Object.entries({known})) localStorage.getItem(k) ?? localStorage.setItem(k, v)"
    return file.read_text().replace("<head>", f"<head><script>{script}</script>", 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
