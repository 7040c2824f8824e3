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


KINDS = {
    "none": [nn.Linear, nn.ReLU, nn.Linear],
    "hidden": [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear],
    "all": [nn.Linear, nn.BatchNorm1d, nn.ReLU, nn.Linear, nn.BatchNorm1d],
}


@pytest.mark.parametrize("batch_norm", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_batch_norm_is_where_it_is_asked_for(batch_norm: str, dtype: torch.dtype) -> None:
    head = HEADS["mlp"](24, dim=8, batch_norm=batch_norm)
    assert [type(layer) for layer in head] == KINDS[batch_norm]
    features = torch.randn(64, 24, generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
        hidden, out = nn.Sequential(*head)[:2](features).float(), head(features).float()
    normalised = {"none": [], "hidden": [hidden], "all": [hidden, out]}[batch_norm]
    for layer in normalised:
        torch.testing.assert_close(layer.mean(0), torch.zeros(layer.shape[1]), atol=0.02, rtol=0)
        torch.testing.assert_close(layer.std(0, correction=0), torch.ones(layer.shape[1]), atol=0.02, rtol=0)
    assert (out.std(0, correction=0) - 1).abs().max() < 0.02 or batch_norm != "all"


def test_an_output_is_normalised_without_scale_or_shift() -> None:
    *_, linear, last = HEADS["mlp"](24, dim=8, batch_norm="all")
    assert linear.bias is None
    assert last.weight is None
    assert last.bias is None


def test_identity_passes_features_unchanged() -> None:
    features = torch.randn(5, 24)
    assert HEADS["identity"](24)(features) is features


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [("mlp", {"dim": 0}, "dim must be at least 1, got 0"), ("mlp", {"hidden": -1}, "hidden must be 0"),
     ("mlp", {"batch_norm": "output"}, "'none', 'hidden' or 'all'"),
     ("linear", {"dim": -3}, "dim must be at least 1, got -3")],
)  # fmt: skip
def test_widths_out_of_range_are_refused(name: str, parameters: dict[str, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HEADS[name](24, **parameters)
