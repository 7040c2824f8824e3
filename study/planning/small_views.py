"""Small views of an augmentation beside the method and the data that they are for."""

from collections.abc import Mapping

from models.methods import METHODS
from models.multi_crop import small_views
from study.data import DataShape
from study.planning.beside import Component


def check_small_views(parts: Mapping[str, Component], shape: DataShape) -> list[str]:
    """The problem of an augmentation's small views, if it gives any."""
    augmentation, method = parts["augmentation"], parts["method"]
    name, (count, side) = augmentation.plain["name"], small_views(augmentation.value)
    if not count or shape.modality != "image":
        return []
    if not method.value.takes_small_views:
        known = ", ".join(n for n in METHODS.names() if METHODS.trait(n, "takes_small_views"))
        return [
            f"augmentation: {name} here gives {count} small views, and {method.plain['name']} takes none; choose one "
            f"of {known}, or set augmentation.small_views=0"
        ]
    if side >= min(shape.size):
        size = "×".join(map(str, shape.size))
        return [
            f"augmentation: small views of {side}×{side} are no smaller than the images of {size}; lower small_size"
        ]
    return []
