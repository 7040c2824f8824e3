from threading import Thread

import pytest
import torch
from torch import Tensor

from models.blocks import BLOCK, reused
from models.objectives import OBJECTIVES

SHAPES = pytest.mark.parametrize("shape", [(2, 5), (2, BLOCK)], ids=["of a block", "of a step"])


def new(use: str, shape: tuple[int, int]) -> Tensor:
    return reused(use, torch.empty(0), shape)


@SHAPES
def test_memory_that_nobody_holds_is_taken_over(shape: tuple[int, int]) -> None:
    address = new("freed", shape).data_ptr()
    assert new("freed", shape).data_ptr() == address


@SHAPES
@pytest.mark.parametrize("hold", [lambda x: x[0], lambda x: x.detach(), lambda x: torch.from_dlpack(x.numpy())])
def test_memory_that_a_part_of_is_held_is_left_alone(shape: tuple[int, int], hold) -> None:
    first = new("held", shape).fill_(1)
    kept = hold(first)
    del first
    assert new("held", shape).fill_(2).data_ptr() != kept.data_ptr()
    assert kept.eq(1).all()


@SHAPES
def test_memory_that_a_graph_holds_is_left_alone_until_its_backward_pass(shape: tuple[int, int]) -> None:
    x = torch.ones(shape, requires_grad=True)
    y = (x * new("graph", shape).fill_(3)).sum()
    new("graph", shape).fill_(4)
    y.backward()
    assert x.grad is not None
    assert x.grad.eq(3).all()


def test_threads_do_not_share_memory() -> None:
    here, there = new("threads", (2, 5)).fill_(1), []
    address = here.data_ptr()
    del here  # so that this thread would take it over
    thread = Thread(target=lambda: there.append(new("threads", (2, 5)).fill_(2)))
    thread.start()
    thread.join()
    assert there[0].data_ptr() != address


def test_what_was_made_in_inference_mode_serves_a_training_afterwards() -> None:
    positive, negatives = torch.zeros(3), torch.zeros(3, 7, dtype=torch.float64)
    with torch.inference_mode():
        expected = OBJECTIVES["info_nce"](positive, negatives, temperature=0.5).item()
    loss = OBJECTIVES["info_nce"](positive, negatives.requires_grad_(), temperature=0.5)
    loss.backward()
    assert loss.item() == expected
