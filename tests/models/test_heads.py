import pytest
import torch
from torch import nn

from models.heads import HEADS


@pytest.mark.parametrize(("name", "output_dim"), [("mlp", 128), ("linear", 128), ("identity", 24)])
def test_head_maps_features_to_its_output_dim(name: str, output_dim: int) -> None:
    head = HEADS[name](24)
    assert head.output_dim == output_dim
    assert head(torch.randn(5, 24)).shape == (5, output_dim)


def test_every_head_is_tested_here() -> None:
    assert set(HEADS.names()) == {"mlp", "linear", "identity"}


@pytest.mark.parametrize(("hidden", "width"), [(0, 24), (40, 40)])
def test_hidden_layer_is_as_wide_as_asked_or_as_the_features(hidden: int, width: int) -> None:
    first, _, last = HEADS["mlp"](24, hidden=hidden, dim=8)
    assert isinstance(first, nn.Linear)
    assert (first.out_features, last.in_features, last.out_features) == (width, width, 8)


def test_identity_passes_features_unchanged() -> None:
    features = torch.randn(5, 24)
    assert HEADS["identity"](24)(features) is features


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [("mlp", {"dim": 0}, "dim must be at least 1, got 0"), ("mlp", {"hidden": -1}, "hidden must be 0"),
     ("linear", {"dim": -3}, "dim must be at least 1, got -3")],
)  # fmt: skip
def test_widths_out_of_range_are_refused(name: str, parameters: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HEADS[name](24, **parameters)
