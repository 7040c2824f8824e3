"""Projection heads g: from features h [B, feature_dim] to embeddings before normalisation [B, output_dim]."""

from torch import nn

from models.registry import Registry

HEADS = Registry("projection head")
"""Entries are `build(feature_dim, **parameters) -> nn.Module`, with the embedding's width as `output_dim`."""


class Head(nn.Sequential):
    """Layers that end at `output_dim`; the method normalises what leaves them."""

    def __init__(self, *layers: nn.Module, output_dim: int) -> None:
        super().__init__(*layers)
        self.output_dim = output_dim


@HEADS.register("mlp")
def mlp(feature_dim: int, *, hidden: int = 0, dim: int = 128) -> Head:
    """One hidden layer with ReLU (SimCLR, arXiv 2002.05709 §2.1; MoCo v2, 2003.04297).

    `hidden` = 0 makes the hidden layer as wide as the features.
    """
    _check_dim(dim)
    if hidden < 0:
        raise ValueError(f"hidden must be 0 (the features' width) or more, got {hidden}")
    width = hidden or feature_dim
    return Head(nn.Linear(feature_dim, width), nn.ReLU(inplace=True), nn.Linear(width, dim), output_dim=dim)


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
