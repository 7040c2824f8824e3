"""The verb `features`: a trained encoder's features of a folder of images."""

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

    from study.results.encoder import TrainedEncoder

SUFFIXES = (".npz", ".parquet")


def options(verb: argparse.ArgumentParser) -> None:
    """Add the options of the verb."""
    verb.add_argument("folder", help="images, in a folder and those in it, or in a zip or tar archive")
    verb.add_argument("--out", required=True, metavar="FILE", help="write it, .npz or .parquet")
    verb.add_argument("--trial", metavar="ID", help="whose encoder (default: the best trial's that has one saved)")
    verb.add_argument("--embeddings", action="store_true", help="z too, the unit rows behind the projection head")


def features_(options: argparse.Namespace) -> int:
    from study.cli.target import store_of, stored_target
    from study.config import ConfigError
    from study.data.pixels import SUFFIXES as IMAGES

    out = Path(options.out)
    if out.suffix not in SUFFIXES or not out.absolute().parent.is_dir():
        raise ConfigError([f"--out {out}: it is a .npz or .parquet in a folder that is there, such as features.npz"])
    if not Path(options.folder).exists():
        raise ConfigError([f"{options.folder}: there is no such folder; name a folder or archive of images"])
    if (one := Path(options.folder)).is_file() and one.suffix.lower() in IMAGES:
        raise ConfigError([f"{one} is one image; name the folder that it is in, or an archive"])
    study, _ = stored_target(options)
    store_of(study, options)
    encoder = study.results(storage=options.storage).encoder(options.trial)
    if encoder.preprocess is None:
        raise ConfigError([f"{options.study} trains an encoder of text, and features are taken of images"])
    try:
        names, found, unreadable = features_of(encoder, Path(options.folder), embeddings=options.embeddings)
    except ValueError as error:  # no archive, or a damaged one
        raise ConfigError([str(error)]) from None
    for name, why in unreadable.items():
        print(f"left out: {name}: {why}")
    if not names:
        raise ConfigError([f"{options.folder} holds no image that can be read; name a folder or archive of images"])
    write(out, names, found)
    shapes = ", ".join(f"{name} {list(rows.shape)}" for name, rows in found.items())
    print(f"{out}: {len(names)} images, {shapes}")
    return 0


def features_of(
    encoder: "TrainedEncoder", folder: Path, *, embeddings: bool = False
) -> "tuple[list[str], dict[str, np.ndarray], dict[str, str]]":
    """Paths of the images in the folder, {"features": h [N, F]} with "embeddings" z [N, D], and what cannot be read."""
    import numpy as np
    import torch

    from study.data.files import entries, printable
    from study.data.pixels import SUFFIXES as IMAGES
    from study.data.pixels import UnreadableImage
    from study.results.encoder import BATCH

    assert encoder.preprocess is not None
    names: list[str] = []
    rows: dict[str, list[Any]] = {"features": [], **({"embeddings": []} if embeddings else {})}
    unreadable: dict[str, str] = {}
    batch: list[np.ndarray] = []

    def encode() -> None:
        if batch:
            inputs = encoder.preprocess.tensor(np.stack(batch))  # type: ignore[union-attr]
            for name, through in (("features", encoder), ("embeddings", encoder.embed)):
                if name in rows:
                    rows[name].append(through(inputs))
            batch.clear()

    for entry in entries(folder):
        path = printable(str(entry.path))
        if entry.read is None or entry.path.suffix.lower() not in IMAGES or entry.path.name.startswith("."):
            continue
        try:
            batch.append(encoder.preprocess.pixels(entry.read()))
            names.append(path)
        except (UnreadableImage, OSError) as error:
            unreadable[path] = str(error)
        if len(batch) == BATCH:
            encode()
    encode()
    order = sorted(range(len(names)), key=names.__getitem__)
    arrays = {name: torch.cat(parts).numpy()[order] for name, parts in rows.items() if parts}
    return [names[place] for place in order], arrays, unreadable


def write(out: Path, names: list[str], found: "dict[str, np.ndarray]") -> None:
    """A .npz of `files` and each array, or a .parquet of `file`, h0, h1, … and z0, z1, …"""
    import numpy as np
    import pandas as pd

    if out.suffix == ".npz":
        np.savez(out, files=np.array(names), **found)  # type: ignore[arg-type]
        return
    columns = {"features": "h", "embeddings": "z"}
    tables = [pd.DataFrame(rows).add_prefix(columns[name]) for name, rows in found.items()]
    pd.concat([pd.Series(names, name="file"), *tables], axis=1).to_parquet(out, index=False)
