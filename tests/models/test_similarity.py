import pytest
import torch

from models.similarity import beside, similarities


@pytest.mark.parametrize("room", [0, 1, 4])
def test_similarities_and_what_stands_beside_them_have_the_gradients_of_their_equations(room: int) -> None:
    g = torch.Generator().manual_seed(0)
    x, y, s = (torch.randn(n, 4, generator=g, dtype=torch.float64, requires_grad=True) for n in (3, 5, 3))
    assert torch.equal(similarities(x, y, room=room), x @ y.T)
    assert torch.equal(beside(similarities(x, y, room=room), s), torch.cat([x @ y.T, s], dim=1))
    assert torch.autograd.gradcheck(lambda a, b, c: beside(similarities(a, b, room=room), c), (x, y, s))


def test_two_products_of_a_step_do_not_share_memory() -> None:
    x, y = torch.ones(2048, 2, requires_grad=True), torch.ones(2048, 2)
    first, second = similarities(x, y), similarities(x, 2 * y)
    assert first.eq(2).all()
    assert second.eq(4).all()
