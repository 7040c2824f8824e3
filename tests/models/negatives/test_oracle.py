import pytest
import torch
from torch import Tensor

from models.negatives import STRATEGIES, Candidates

NAMES = ["without_same_class", "only_same_class", "without_same_class_in"]


def candidates(offered: Tensor | None = None, *, classes: int = 3) -> Candidates:
    g = torch.Generator().manual_seed(0)
    a = torch.nn.functional.normalize(torch.randn(6, 16, generator=g), dim=1)
    k = torch.nn.functional.normalize(torch.randn(200, 16, generator=g), dim=1)
    return Candidates(a @ k.T, a, k, offered, torch.arange(6) % classes, torch.arange(200) % classes)


def kept(name: str, given: Candidates, **params: float) -> Tensor:
    selection = STRATEGIES[name](**params).select(given, generator=torch.Generator().manual_seed(0))
    mask = selection.log_weight == 0
    return mask if given.offered is None else mask & given.offered


def test_classes_are_told_apart() -> None:
    given = candidates()
    same = given.anchor_labels[:, None] == given.key_labels[None, :]
    assert torch.equal(kept("without_same_class", given), ~same)
    assert torch.equal(kept("only_same_class", given), same)


def test_same_class_is_removed_inside_the_band_only() -> None:
    given = candidates()
    same = given.anchor_labels[:, None] == given.key_labels[None, :]
    hardest = kept("difficulty", given, lo=0.0, hi=0.25)
    assert torch.equal(kept("without_same_class_in", given, lo=0.0, hi=0.25), ~(same & hardest))
    assert torch.equal(kept("without_same_class_in", given, lo=0.0, hi=1.0), ~same)


@pytest.mark.parametrize(("name", "classes"), [("without_same_class", 1), ("only_same_class", 1000)])
def test_an_anchor_of_which_a_strategy_leaves_nothing_has_no_negatives(name: str, classes: int) -> None:
    offered = torch.rand(6, 200, generator=torch.Generator().manual_seed(1)) < 0.5
    given = candidates(offered, classes=classes)
    if name == "only_same_class":
        given = Candidates(**{**vars(given), "key_labels": torch.full((200,), -1)})
    assert not kept(name, given).any()


@pytest.mark.parametrize("name", NAMES)
def test_oracles_say_that_they_use_labels_and_refuse_data_without(name: str) -> None:
    assert STRATEGIES.trait(name, "uses_labels") is True
    given = candidates()
    for missing in ("anchor_labels", "key_labels"):
        with pytest.raises(ValueError, match="no labels"):
            kept(name, Candidates(**{**vars(given), missing: None}))
