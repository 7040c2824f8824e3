import pytest
import torch

from models.pools import Pool, Queue, offer_from_batch, offer_from_store


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def own_rows(batch: int) -> torch.Tensor:
    instance = torch.arange(batch).repeat(2)
    return instance[:, None] == instance[None, :]


@pytest.mark.parametrize("k", [1, 5, 14])
def test_batch_offers_exactly_k_and_never_the_own_instance(k: int) -> None:
    own = own_rows(8)
    offered = offer_from_batch(own, k, generator=generator())
    assert offered.sum(1).eq(k).all()
    assert not (offered & own).any()


@pytest.mark.parametrize("k", [5, 6])
def test_batch_never_offers_the_own_instance_also_where_it_is_drawn_twice(k: int) -> None:
    instance = torch.tensor([0, 0, 1, 2]).repeat(2)  # the anchors of instance 0 have four others, the others six
    own = instance[:, None] == instance[None, :]
    offered = offer_from_batch(own, k, generator=generator())
    assert not (offered & own).any()
    assert torch.equal(offered.sum(1), (~own).sum(1).clamp(max=k))


def test_batch_offers_everything_but_the_own_instance_without_k() -> None:
    own = own_rows(8)
    assert torch.equal(offer_from_batch(own, None, generator=generator()), ~own)


@pytest.mark.parametrize("k", [1, 14])
def test_what_is_drawn_after_an_offer_does_not_depend_on_k(k: int) -> None:
    own, draw, drawn = own_rows(8), generator(), generator()
    offer_from_batch(own, k, generator=draw)
    torch.rand(own.shape, generator=drawn)
    assert torch.equal(torch.rand(3, generator=draw), torch.rand(3, generator=drawn))


def test_batch_offers_every_row_equally_often() -> None:
    own, k, g = own_rows(4), 3, generator()
    times = sum(offer_from_batch(own, k, generator=g).double() for _ in range(4000))
    expected = 4000 * k / 6
    deviation = (times[~own] - expected) / (expected * (1 - k / 6)) ** 0.5
    assert deviation.abs().max() < 4.5  # 48 binomials: beyond 4.5 deviations once in 3,000 runs


def store(size: int, *, shown: torch.Tensor | None = None) -> Pool:
    instance = torch.full((size,), -1) if shown is None else shown
    return Pool(torch.randn(size, 4, generator=generator(1)), instance, torch.arange(size))


@pytest.mark.parametrize("k", [1, 40, 90, None])
def test_store_offers_exactly_k_and_never_the_own_instance(k: int | None) -> None:
    pool = store(100, shown=torch.arange(100) % 50)  # each instance is in it twice
    instance = torch.arange(0, 60, 4)  # some of them are in the pool, some not
    rows, offered = offer_from_store(pool, instance, k, own=2, generator=generator())
    assert offered is not None
    own = instance[:, None] == rows.instance[None, :]
    assert not (offered & own).any()
    if k is None:
        assert torch.equal(offered, ~own)
    else:
        assert offered.sum(1).eq(k).all()
        assert len(rows.keys) <= k + 2, "the similarity product has the size of K, not of the pool"


def test_store_without_own_instances_offers_the_rows_unmasked() -> None:
    pool = store(100)
    rows, offered = offer_from_store(pool, torch.arange(8), 30, own=2, generator=generator())
    assert offered is None
    assert len(rows.keys) == 30
    assert len(rows.labels.unique()) == 30, "without replacement"
    torch.testing.assert_close(rows.keys, pool.keys[rows.labels])
    whole, offered = offer_from_store(pool, torch.arange(8), None, own=2, generator=generator())
    assert whole is pool
    assert offered is None


def test_store_offers_every_row_equally_often() -> None:
    pool, instance, k, g = store(12, shown=torch.arange(12) % 6), torch.tensor([0, 1]), 4, generator()
    times = torch.zeros(2, 12, dtype=torch.float64)
    for _ in range(4000):
        rows, offered = offer_from_store(pool, instance, k, own=2, generator=g)
        times[:, rows.labels] += 1.0 if offered is None else offered.double()
    own = instance[:, None] == pool.instance[None, :]
    expected = 4000 * k / 10
    deviation = (times[~own] - expected) / (expected * (1 - k / 10)) ** 0.5
    assert deviation.abs().max() < 4.5


def test_offers_repeat_under_the_same_seed() -> None:
    pool = store(100, shown=torch.arange(100) % 50)
    first = offer_from_store(pool, torch.arange(8), 30, own=2, generator=generator(3))[1]
    assert torch.equal(first, offer_from_store(pool, torch.arange(8), 30, own=2, generator=generator(3))[1])
    assert not torch.equal(first, offer_from_store(pool, torch.arange(8), 30, own=2, generator=generator(4))[1])


def test_queue_starts_with_random_unit_rows_of_no_instance() -> None:
    rows = Queue(10, 3, generator=generator()).rows()
    torch.testing.assert_close(rows.keys.norm(dim=1), torch.ones(10))
    assert rows.instance.eq(-1).all()
    assert rows.labels.eq(-1).all()


def test_queue_overwrites_its_oldest_rows_first() -> None:
    queue = Queue(5, 1, generator=generator())
    for start in (0, 3, 6):
        batch = torch.arange(start, start + 3)
        queue.enqueue(batch[:, None].float(), batch, batch * 10)
    assert queue.instance.tolist() == [5, 6, 7, 8, 4]
    assert queue.keys[:, 0].tolist() == [5, 6, 7, 8, 4]
    assert queue.labels.tolist() == [50, 60, 70, 80, 40]
    assert queue.pointer.item() == 4


def test_queue_keeps_the_last_rows_of_a_batch_larger_than_itself() -> None:
    queue = Queue(4, 1, generator=generator())
    batch = torch.arange(6)
    queue.enqueue(batch[:, None].float(), batch, None)
    assert sorted(queue.instance.tolist()) == [2, 3, 4, 5]
    assert queue.labels.eq(-1).all()
