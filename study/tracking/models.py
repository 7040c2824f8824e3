"""A trained encoder as a model of MLflow, which needs nothing of this project where it is loaded."""

import importlib.metadata
import inspect
import logging
import tempfile
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from study.results import Results
from study.storage.store import TrialFolder
from study.tracking.client import first_line
from study.tracking.schema import Ledger

if TYPE_CHECKING:
    from mlflow import MlflowClient

    from study.results.encoder import TrainedEncoder

log = logging.getLogger(__name__)

FOLDER = "encoder"
"""Of a trial's artifacts: `mlflow.pytorch.load_model("runs:/<run>/encoder")`."""
LOGGED = "encoder.logged"
"""Tag of a run: the time of the result whose encoder it has."""


def log_best(client: "MlflowClient", ledger: Ledger, results: Results) -> None:
    """Upload the encoder of the best trial that has one saved to the run of that trial."""
    from study.results.encoder import saved_of

    if (folder := saved_of(results)) and (sent := ledger.read(folder)):
        log_encoder(client, sent.run, folder)


def log_encoder(client: "MlflowClient", run: str, folder: TrialFolder) -> None:
    """Upload a trial's encoder of images to its run as a model, once; one that torch cannot export is said."""
    from study.results.encoder import load

    result = folder.result()
    stamp = f"{result.ended if result else 0:.3f}"
    if client.get_run(run).data.tags.get(LOGGED) == stamp:
        return
    encoder = load(folder)
    if encoder.preprocess is None:  # token ids are of the trial's own vocabulary
        return
    with tempfile.TemporaryDirectory() as place:
        try:
            save_model(encoder, Path(place) / FOLDER)
        except Exception as error:  # torch.export refuses in many ways what it cannot follow
            log.warning(
                "the encoder of trial %s is not in MLflow, as torch.export cannot follow it (%s); it is in %s, for "
                "results.encoder(%r)",
                folder.id, first_line(error), folder.encoder, folder.id,
            )  # fmt: skip
        else:
            client.log_artifacts(run, str(Path(place) / FOLDER), FOLDER)
    client.set_tag(run, LOGGED, stamp)


def prepare() -> None:
    """Import most of what saving a model takes, for seconds: while trials run, not at the end."""
    import torch._dynamo  # noqa: F401 - torch.export imports it when it is called first


def save_model(encoder: "TrainedEncoder", path: Path) -> None:
    """Write an encoder of images as a model of MLflow: uint8 [B, H, W, 3] → features float32 [B, F].

    The graph that torch.export follows, with the weights: `mlflow.pytorch.load_model` needs torch and no code of this
    project or the user's. Images have the size of the trial's, as `encoder.preprocess.pixels` makes them.
    """
    import mlflow.pytorch
    import numpy as np
    import torch
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    size = encoder.about["size"]
    # Without names: MLflow's pyfunc makes a mapping of a named array, which its own PyTorch models refuse.
    signature = ModelSignature(
        Schema([TensorSpec(np.dtype("uint8"), (-1, *size, 3))]),
        Schema([TensorSpec(np.dtype("float32"), (-1, encoder.encoder.feature_dim))]),
    )
    given: dict[str, Any] = {"signature": signature, "input_example": np.zeros((2, *size, 3), np.uint8)}
    known = inspect.signature(mlflow.pytorch.save_model).parameters
    given |= {"serialization_format": "pt2"} if "serialization_format" in known else {"export_model": True}
    needed = [f"{name}=={importlib.metadata.version(name)}" for name in ("mlflow", "torch", "numpy")]
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")  # of the formats' own
        mlflow.pytorch.save_model(encoder.of_pixels(), str(path), pip_requirements=needed, **given)
