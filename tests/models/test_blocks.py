import torch

from models.blocks import BLOCK, result

SHAPE = (2, BLOCK)


def new(use: str) -> torch.Tensor:
    return result(use, SHAPE, torch.float32, torch.device("cpu"))


def test_memory_that_nobody_holds_is_taken_over() -> None:
    address = new("freed").data_ptr()
    assert new("freed").data_ptr() == address


def test_memory_that_a_part_of_is_held_is_left_alone() -> None:
    first = new("held").fill_(1)
    row = first[0]
    del first
    assert new("held").fill_(2).data_ptr() != row.data_ptr()
    assert row.eq(1).all()


def test_memory_that_a_graph_holds_is_left_alone_until_its_backward_pass() -> None:
    x = torch.ones(SHAPE, requires_grad=True)
    y = (x * new("graph").fill_(3)).sum()
    new("graph").fill_(4)
    y.backward()
    assert x.grad is not None
    assert x.grad.eq(3).all()
