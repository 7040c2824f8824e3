"""Projection heads g: from features h [B, feature_dim] to embeddings before normalisation [B, output_dim]."""

from typing import Literal

from torch import nn

from models.registry import Registry

HEADS = Registry("projection head")
"""Entries are `build(feature_dim, **parameters) -> nn.Module`, with the embedding's width as `output_dim`.

The trait `by_method` names parameters whose default is the method's, `Method.head`, and the value of each before it was
a parameter: trials that have that value keep the ids they had.
"""

BatchNorm = Literal["none", "hidden", "all"]


class Head(nn.Sequential):
    """Layers that end at `output_dim`; the method normalises what leaves them."""

    def __init__(self, *layers: nn.Module, output_dim: int) -> None:
        super().__init__(*layers)
        self.output_dim = output_dim


@HEADS.register("mlp", by_method={"batch_norm": "none"})
def mlp(feature_dim: int, *, hidden: int = 0, dim: int = 128, batch_norm: BatchNorm = "none") -> Head:
    """One hidden layer with ReLU; batch norm where the method's authors have it, unless `batch_norm` is given.

    `hidden` = 0 makes the hidden layer as wide as the features. `batch_norm`: "none" in MoCo v2 (arXiv 2003.04297) and
    SupCon; "hidden", before the ReLU, in BYOL, DirectPred, SwAV and Nozawa & Sato; "all", at the output too and there
    without scale and shift, in SimSiam (2011.10566, §3) and SimCLR (2002.05709; its published output has a scale).
    """
    if batch_norm not in ("none", "hidden", "all"):
        raise ValueError(f"batch_norm is 'none', 'hidden' or 'all' (the output too), got {batch_norm!r}")
    _check_dim(dim)
    if hidden < 0:
        raise ValueError(f"hidden must be 0 (the features' width) or more, got {hidden}")
    width = hidden or feature_dim
    if batch_norm == "none":
        return Head(nn.Linear(feature_dim, width), nn.ReLU(inplace=True), nn.Linear(width, dim), output_dim=dim)
    first = [nn.Linear(feature_dim, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
    if batch_norm == "hidden":
        return Head(*first, nn.Linear(width, dim), output_dim=dim)
    last = nn.Linear(width, dim, bias=False)
    return Head(*first, last, nn.BatchNorm1d(dim, affine=False), output_dim=dim)


@HEADS.register("linear")
def linear(feature_dim: int, *, dim: int = 128) -> Head:
    """One linear layer: MoCo v1 (arXiv 1911.05722 §3.3), memory bank."""
    _check_dim(dim)
    return Head(nn.Linear(feature_dim, dim), output_dim=dim)


@HEADS.register("identity")
def identity(feature_dim: int) -> Head:
    """No head: the features are the embeddings."""
    return Head(output_dim=feature_dim)


def _check_dim(dim: int) -> None:
    if dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}; SimCLR and MoCo use dim=128")
