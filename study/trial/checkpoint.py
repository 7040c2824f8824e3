"""A training on disk: written at epoch ends, all of it or nothing, and read back from the newest that is whole."""

import io
import logging
import pickle
import zipfile
import zlib
from typing import Any

import torch

from models.ranks import from_first
from study.storage.store import TrialFolder, write_atomically
from study.trial.training import Training

log = logging.getLogger(__name__)


def save(training: Training, folder: TrialFolder, *, keep: int) -> None:
    """Checkpoint the completed epoch, all of it or nothing, beside the `keep` − 1 before it."""
    folder.save_checkpoint(training.epoch, _written(training), keep=keep)


def share(training: Training) -> None:
    """Give every rank of a training the first one's state."""
    first = torch.distributed.get_rank() == 0
    content = from_first(_written(training) if first else b"")
    if not first:
        _load(training, _read(content, training.device))


def _written(training: Training) -> bytes:
    content = io.BytesIO()
    state = {
        "epoch": training.epoch,
        "seconds": training.seconds,
        "learner": training.learner.state_dict(),
        "optimizer": training.optimizer.state_dict(),
        "scaler": training.scaler.state_dict(),
    }
    torch.save(state, content)
    return content.getvalue()


def _load(training: Training, state: dict[str, Any]) -> None:
    training.learner.load_state_dict(state["learner"])
    training.optimizer.load_state_dict(state["optimizer"])
    training.scaler.load_state_dict(state.get("scaler", {}))
    training.epoch, training.seconds = state["epoch"], state["seconds"]


def save_encoder(training: Training, folder: TrialFolder) -> None:
    """Write the trained encoder and head, with what it takes to make them again: see `study.results.encoder`."""
    trial, data, learner = training.trial, training.data, training.learner
    about = {
        "encoder": trial.config["encoder"],
        "head": trial.config["head"],
        "head_trained": trial.parts.method.trains_head,
        "method": trial.config["method"]["name"],
        "modality": data.modality,
        "size": list(data.shape.size),
        "vocabulary_size": data.vocabulary_size,
        "precision": training.precision,
    }
    content = io.BytesIO()
    torch.save({"encoder": learner.encoder.state_dict(), "head": learner.head.state_dict(), "about": about}, content)
    write_atomically(folder.encoder, content.getvalue())


def restore(training: Training, folder: TrialFolder) -> None:
    """Go on from the newest checkpoint that can be read; those that cannot are set aside."""
    found = folder.checkpoints()
    for path in found:
        try:
            _load(training, _read(path.read_bytes(), training.device))
            return
        except (
            RuntimeError,
            ValueError,
            KeyError,
            TypeError,
            pickle.UnpicklingError,
            zipfile.BadZipFile,
            zlib.error,
        ) as error:
            aside = path.rename(path.with_name(f"{path.name}.unreadable"))
            log.warning("%s cannot be read (%s): the trial goes on from the checkpoint before it", aside, error)
    if found:  # a state that fitted in part may have been loaded
        fresh = Training(training.trial, training.data, training.device, ranks=training.ranks)
        training.learner, training.optimizer, training.scaler = fresh.learner, fresh.optimizer, fresh.scaler
        training.epoch, training.seconds = 0, 0.0


def _read(content: bytes, device: torch.device) -> dict[str, Any]:
    """A checkpoint's state. torch does not compare the checksums that it writes, so the archive is tested first."""
    damaged = zipfile.ZipFile(io.BytesIO(content)).testzip()
    if damaged:
        raise ValueError(f"{damaged} is damaged")
    return torch.load(io.BytesIO(content), map_location=device, weights_only=True)
