from pathlib import Path

import pytest
import torch
from torch import nn

from models.encoders.weights import architecture_only, load, read


def net() -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))


def saved(path: Path, content: object) -> str:
    torch.save(content, path)
    return str(path)


@pytest.mark.parametrize("wrap", [lambda s: s, lambda s: {"state_dict": s, "epoch": 3}, lambda s: {"model": s}])
def test_weights_are_found_where_training_scripts_put_them(tmp_path: Path, wrap) -> None:
    original, other = net(), net()
    state = {f"module.{name}": value for name, value in original.state_dict().items()}  # of DataParallel
    load(other, saved(tmp_path / "w.pt", wrap(state)))
    assert torch.equal(other[0].weight, original[0].weight)


def test_a_file_from_before_torch_counted_batches_is_whole(tmp_path: Path) -> None:
    state = {n: v for n, v in net().state_dict().items() if not n.endswith("num_batches_tracked")}
    load(net(), saved(tmp_path / "w.pt", state))


def test_the_entries_that_do_not_fit_are_said_in_one_line(tmp_path: Path) -> None:
    state = net().state_dict()
    del state["0.bias"]
    state |= {"0.weight": torch.zeros(2, 5), "2.weight": torch.zeros(1), "fc.weight": torch.zeros(1)}
    with pytest.raises(ValueError, match="does not fit the network") as refused:
        load(net(), saved(tmp_path / "w.pt", state), without=["fc."])
    assert "\n" not in str(refused.value)
    for part in (
        "1 not in the file: 0.bias", "1 not in the network: 2.weight", "0.weight ([2, 5], not [2, 3])",
    ):  # fmt: skip
        assert part in str(refused.value)


def test_numbers_that_are_not_finite_are_refused_by_their_entry(tmp_path: Path) -> None:
    state = net().state_dict()
    state["0.bias"] = torch.full_like(state["0.bias"], torch.nan)
    with pytest.raises(ValueError, match=r"w\.pt has NaN or infinite numbers in 0\.bias; take an earlier checkpoint"):
        load(net(), saved(tmp_path / "w.pt", state))


class Code:
    """An object that only its own code can read."""


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (Code(), "cannot be read as a state dict"),
        ([torch.zeros(1)], "is no state dict"),
        ({"epoch": 3}, "no state dict"),
    ],
)
def test_a_file_that_is_no_state_dict_is_refused_and_runs_no_code(
    tmp_path: Path, content: object, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        read(saved(tmp_path / "w.pt", content))


def test_a_missing_file_is_named_and_the_architecture_needs_none(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no file .*nowhere\.pt"):
        load(net(), str(tmp_path / "nowhere.pt"))
    with architecture_only():
        load(net(), str(tmp_path / "nowhere.pt"))
