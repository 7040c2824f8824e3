"""Conformance of every method."""

import copy
import pickle

import pytest
import torch
from torch import Tensor, nn

from models.contrast import Contrast, Step, StepContext
from models.encoders import Encoder
from models.heads import mlp
from models.methods import METHODS, Batch, Learner, Method, TrainingContext
from models.methods.byol import regression_loss
from models.methods.swav import sinkhorn, swapped_prediction
from models.negatives import STRATEGIES
from models.objectives import OBJECTIVES
from models.pools import Pool

N, B, CLASSES = 40, 8, 4
SMALL = {"moco": {"queue_size": 16}, "swav": {"prototypes": 6, "freeze_steps": 0}}

VARIANTS = [
    *((name, {}) for name in METHODS.names()),
    ("memory_bank", {"loss": "nce"}),
    ("moco", {"symmetric": True}),
]
CONTRASTS = [(name, params) for name, params in VARIANTS if METHODS.trait(name, "has_negatives")]
every_variant = pytest.mark.parametrize(("name", "params"), VARIANTS, ids=str)

every_method = pytest.mark.parametrize("name", METHODS.names())


def build(name: str, **params: object) -> Method:
    return METHODS[name](**{**SMALL.get(name, {}), **params})


def learner(method: Method, *, strategy: str = "all", k: int | None = None) -> Learner:
    torch.manual_seed(0)
    encoder = Encoder(nn.Sequential(nn.Flatten(), nn.Linear(12, 16), nn.ReLU()), feature_dim=16, modality="text")
    contrast = None
    if method.has_negatives:
        objective = method.default_objective
        directions = OBJECTIVES.trait(objective, "directions")
        contrast = Contrast(STRATEGIES[strategy](), OBJECTIVES[objective], k=k, directions=directions)
    context = TrainingContext(
        batch_size=B, train_count=N, classes=CLASSES, steps=10, generator=torch.Generator().manual_seed(0)
    )  # fmt: skip
    return method.learner(encoder, mlp(16, dim=8), contrast, context)


def batch(seed: int = 0) -> Batch:
    """That step's batch: as in a training, each instance is in one of an epoch's."""
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(B, 3, 2, 2, generator=g)
    views = tuple(x + 0.1 * torch.randn(x.shape, generator=g) for _ in range(2))
    epoch, at = divmod(seed, N // B)
    instance = torch.randperm(N, generator=torch.Generator().manual_seed(epoch))[at * B : (at + 1) * B]
    return Batch(views, instance, instance % CLASSES)


def context(seed: int = 0) -> StepContext:
    return StepContext(torch.Generator().manual_seed(seed), 0.2, observe=True, step=seed)


def train(trained: Learner, steps: int = 3) -> list[float]:
    optimizer = torch.optim.SGD([p for p in trained.parameters() if p.requires_grad], lr=0.1)
    losses = []
    for i in range(steps):
        step = trained.step(batch(i), context(i))
        optimizer.zero_grad(set_to_none=True)
        step.loss.backward()
        optimizer.step()
        trained.after_step((i + 1) / steps)
        losses.append(step.loss.item())
    return losses


@every_method
def test_a_step_trains_the_encoder_with_finite_gradients(name: str) -> None:
    trained = learner(build(name))
    step = trained.step(batch(), context())
    step.loss.backward()
    assert step.loss.shape == ()
    gradients = [p.grad for p in trained.encoder.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)
    assert any(g.ne(0).any() for g in gradients)
    assert all(v.isfinite() and not v.requires_grad for v in step.observed.values())


@every_variant
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_finite_at_a_low_temperature(name: str, params: dict[str, object], dtype: torch.dtype) -> None:
    trained = learner(build(name, **params))
    for i in range(3):
        with torch.autocast("cpu", dtype, enabled=dtype != torch.float32):
            step = trained.step(batch(i), StepContext(torch.Generator().manual_seed(i), 0.02, observe=True))
        trained.zero_grad()
        step.loss.backward()
        assert step.loss.isfinite()
        assert step.loss.dtype == torch.float32
        assert all(p.grad.isfinite().all() for p in trained.parameters() if p.grad is not None)
        assert all(value.isfinite().all() for value in step.observed.values())
        trained.after_step(0.5)


class Spy:
    """A contrast that sees to it that K rows are offered to each anchor, and none that shows its own instance."""

    def __init__(self, contrast: Contrast, instance: Tensor) -> None:
        self.contrast, self.instance, self.called = contrast, instance, 0
        self.k, self.directions = contrast.k, contrast.directions

    def __call__(
        self,
        anchors: Tensor,
        positive: Tensor,
        pool: Pool,
        offered: Tensor | None,
        context: StepContext,
        **labels: Tensor,
    ) -> Step:
        own = self.instance.repeat(len(anchors) // B)[:, None] == pool.instance[None, :]
        met = torch.ones_like(own) if offered is None else offered
        assert not (met & own).any()
        assert met.sum(dim=1).eq(self.k).all() if self.k else torch.equal(met, ~own)
        self.called += 1
        return self.contrast(anchors, positive, pool, offered, context, **labels)


@pytest.mark.parametrize(("name", "params"), CONTRASTS, ids=str)
@pytest.mark.parametrize("k", [None, 1, 6])
def test_k_rows_are_offered_and_never_the_anchors_own(name: str, params: dict[str, object], k: int | None) -> None:
    trained = learner(build(name, **params), k=k)
    contrast = trained.contrast
    for i in (0, 1, 2, 2, 3, 4, 4):  # an epoch may end and the next begin with the same: its own rows are in the queue
        given = batch(i)
        trained.contrast = Spy(contrast, given.instance)
        trained.step(given, context(i))
        calls = {"imix": 2, "unmix": 3}.get(name, 1 + bool(params.get("symmetric")))
        assert trained.contrast.called == calls
        trained.after_step(0.5)


@every_method
def test_training_repeats_under_the_same_seed(name: str) -> None:
    assert train(learner(build(name))) == train(learner(build(name)))


@every_method
def test_training_goes_on_exactly_from_its_state(name: str) -> None:
    first = learner(build(name))
    train(first)
    second = learner(build(name))
    second.load_state_dict(first.state_dict())
    one, two = (x.step(batch(9), context(9)).loss.item() for x in (first, second))
    assert one == two


@every_method
def test_embeddings_are_unit_rows(name: str) -> None:
    z = learner(build(name)).project(batch().views[0])
    assert z.shape == (B, 8)
    torch.testing.assert_close(z.norm(dim=1), torch.ones(B))


@every_method
def test_a_method_says_whether_it_has_negatives_and_uses_labels(name: str) -> None:
    method = build(name)
    without = {"swav", "simsiam", "byol", "directpred", "supcon", "supervised"}
    assert method.has_negatives is (name not in without)
    assert METHODS.trait(name, "has_negatives") is method.has_negatives
    assert method.uses_labels is (name in {"supcon", "supervised", "simclr_same_class", "simclr_easy_positive"})
    assert (method.default_objective is None) is not method.has_negatives
    if method.has_negatives:
        assert method.pool_size(B, N, "both") > 0
        context = TrainingContext(batch_size=B, train_count=N, classes=CLASSES, steps=1, generator=torch.Generator())
        with pytest.raises(ValueError, match="needs an objective and a strategy"):
            method.learner(nn.Identity(), mlp(16, dim=8), None, context)
    else:
        assert method.pool_size(B, N, "both") == 0


@every_method
def test_only_methods_marked_so_need_labels(name: str) -> None:
    given = batch()
    unlabelled = Batch(given.views, given.instance, None)
    trained = learner(build(name))
    if build(name).uses_labels:
        with pytest.raises(ValueError, match="learns from labels"):
            trained.step(unlabelled, context())
    else:
        assert trained.step(unlabelled, context()).loss.isfinite()


@every_method
def test_a_method_is_small_and_travels(name: str) -> None:
    method = build(name)
    assert pickle.loads(pickle.dumps(method)) == method


@pytest.mark.parametrize("name", [n for n in METHODS.names() if METHODS.trait(n, "has_negatives")])
@pytest.mark.parametrize("strategy", ["all", "hardest_5pct", "without_same_class", "mixing"])
def test_k_is_honoured_at_every_step(name: str, strategy: str) -> None:
    trained = learner(build(name), strategy=strategy, k=6)
    for i in range(8):  # the queue comes to hold the anchors' own instances
        step = trained.step(batch(i), context(i))
        assert step.observed["k"].item() == 6
        trained.after_step(0.5)


@pytest.mark.parametrize(
    ("name", "params", "message"),
    [
        ("moco", {"queue_size": 0}, "queue_size"), ("moco", {"momentum": 1.0}, "momentum"),
        ("memory_bank", {"momentum": -0.1}, "momentum"), ("memory_bank", {"loss": "full"}, "loss"),
        ("swav", {"prototypes": 1}, "prototypes"), ("swav", {"epsilon": 0.0}, "epsilon"),
        ("supcon", {"base_temperature": 0.0}, "base_temperature"), ("simsiam", {"predictor_hidden": -1}, "hidden"),
        ("byol", {"momentum": 1.0}, "momentum"), ("byol", {"predictor_hidden": 0}, "hidden"),
        ("directpred", {"every": 0}, "every"), ("directpred", {"correlation_momentum": 1.0}, "correlation"),
    ],
)  # fmt: skip
def test_parameters_out_of_range_are_refused(name: str, params: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build(name, **params)


def test_what_does_not_fit_the_training_is_refused() -> None:
    with pytest.raises(ValueError, match="smaller than batch_size"):
        build("moco", queue_size=4).check(B, N, 1)
    with pytest.raises(ValueError, match="the whole training"):
        build("swav", freeze_steps=5).check(B, N, 1)
    with pytest.raises(ValueError, match="queue_size"):
        build("swav", queue_size=4).check(B, N, 10)


@pytest.mark.parametrize(("objective", "directions"), [("debiased", "both"), ("hard", "one")])
def test_further_views_are_positives_and_neither_anchors_nor_pool(objective: str, directions: str) -> None:
    """The loss anchor by anchor, with M = 3 positives in the correction."""
    trained = learner(build("simclr", further_views=2))
    trained.contrast = Contrast(STRATEGIES["all"](), OBJECTIVES[objective], directions=directions)
    given = batch()
    views = (*given.views, *(torch.roll(x, 1, dims=2) for x in given.views))
    step = trained.step(Batch(views, given.instance, given.labels), context())
    z = [trained.project(x).double().detach() for x in views]
    losses = []
    for v in (0, 1)[: 1 if directions == "one" else 2]:
        for i in range(B):
            positive = torch.stack([z[1 - v][i], z[2][i], z[3][i]]) @ z[v][i]
            keys = [z[u][j] for u in ((1,) if directions == "one" else (0, 1)) for j in range(B) if j != i]
            losses.append(OBJECTIVES[objective](positive[None], (torch.stack(keys) @ z[v][i])[None], temperature=0.2))
    assert step.loss.item() == pytest.approx(torch.stack(losses).mean().item(), rel=1e-5)
    assert step.observed["k"].item() == (B - 1 if directions == "one" else 2 * B - 2)


def weights(*modules: nn.Module) -> list[Tensor]:
    return [p.detach() for module in modules for p in module.parameters()]


def test_moco_moves_its_key_encoder_first_and_makes_the_keys_with_it() -> None:
    trained = learner(build("moco", momentum=0.75))
    for p in weights(trained.encoder, trained.head):
        p.add_(0.1 * torch.randn(p.shape, generator=torch.Generator().manual_seed(p.numel())))
    keys = copy.deepcopy(nn.Sequential(trained.key_encoder, trained.key_head))
    for old, new in zip(weights(keys), weights(trained.encoder, trained.head), strict=True):
        old.copy_(0.75 * old + 0.25 * new)
    given = batch()
    trained.step(given, context())
    trained.after_step(0.1)
    torch.testing.assert_close(trained.queue.keys[:B], nn.functional.normalize(keys(given.views[1]), dim=1))
    assert torch.equal(trained.queue.instance[:B], given.instance)


def test_symmetric_moco_is_the_mean_of_both_directions_and_enqueues_the_keys_of_both_views() -> None:
    trained, given = learner(build("moco", symmetric=True)), batch()
    queue = trained.queue.keys.clone()
    step = trained.step(given, context())
    trained.after_step(0.1)
    z1, z2 = (trained.project(x) for x in given.views)
    k1, k2 = (trained.project_keys(x, generator=torch.Generator()) for x in given.views)
    losses = [OBJECTIVES["info_nce"]((z * k).sum(dim=1), z @ queue.T, temperature=0.2) for z, k in [(z1, k2), (z2, k1)]]
    torch.testing.assert_close(step.loss, torch.stack(losses).mean())
    torch.testing.assert_close(trained.queue.keys, torch.cat([k2, k1]))


def test_prototypes_stay_where_they_are_for_the_first_steps() -> None:
    trained = learner(build("swav", freeze_steps=2))
    weights: list[Tensor] = [nn.functional.normalize(trained.prototypes.weight.detach(), dim=1)]
    optimizer = torch.optim.SGD(trained.parameters(), lr=1.0)
    for i in range(3):
        optimizer.zero_grad()
        trained.step(batch(i), context(i)).loss.backward()
        optimizer.step()
        trained.after_step(0.5)
        weights.append(trained.prototypes.weight.detach().clone())
    torch.testing.assert_close(weights[0], weights[2])
    assert not torch.allclose(weights[2], weights[3])


def test_swav_assigns_with_its_queue_once_that_is_full() -> None:
    trained = learner(build("swav", queue_size=2 * B))
    for i in range(2):
        assert not trained.queue[:, -1].any()
        trained.step(batch(i), context())
    z = trained.project(batch(1).views[0]).detach()
    torch.testing.assert_close(trained.queue[0, :B], z)
    torch.testing.assert_close(trained.queue[0, B:], trained.project(batch(0).views[0]).detach())


@pytest.mark.parametrize("full", [False, True])
def test_swav_balances_each_view_with_its_own_queue_only_where_that_is_full(full: bool) -> None:
    trained, given, draw = learner(build("swav", queue_size=2 * B)), batch(), torch.Generator().manual_seed(0)
    rows = 2 * B if full else 2 * B - 1
    trained.queue[:, :rows] = nn.functional.normalize(torch.randn(2, rows, 8, generator=draw), dim=2)
    queue = trained.queue.clone()
    loss = trained.step(given, context(2 if full else 1)).loss
    z, w = torch.stack([trained.project(x) for x in given.views]), trained.prototypes.weight
    before = queue if full else queue[:, :0]
    codes = torch.stack(
        [sinkhorn(torch.cat(pair) @ w.T, epsilon=0.05, iterations=3)[-B:] for pair in zip(before, z, strict=True)]
    )
    torch.testing.assert_close(loss, swapped_prediction(z @ w.T, codes, temperature=0.2))


def test_bank_rows_move_only_where_the_batch_was() -> None:
    trained = learner(build("memory_bank", momentum=0.75))
    before, given = trained.bank.keys.clone(), batch()
    trained.step(given, context())
    assert torch.equal(trained.bank.keys, before), "rows move after the loss"
    z = trained.project(given.views[0]).detach()
    trained.after_step(0.1)
    rows = given.instance
    torch.testing.assert_close(trained.bank.keys[rows], nn.functional.normalize(3 * before[rows] + z, dim=1))
    others = torch.ones(N, dtype=torch.bool).index_fill(0, rows, False)
    assert torch.equal(trained.bank.keys[others], before[others])


def test_nce_freezes_its_partition_at_the_first_batch() -> None:
    trained = learner(build("memory_bank", loss="nce"), k=6)
    assert trained.log_z.isnan()
    trained.step(batch(0), context())
    first = trained.log_z.item()
    trained.step(batch(1), context())
    assert trained.log_z.item() == first


def test_targets_move_towards_the_online_network() -> None:
    trained = learner(build("byol", momentum=0.75))
    with torch.no_grad():
        for p in trained.encoder.parameters():
            p.add_(1)
    before = [p.clone() for p in trained.target[0].parameters()]
    trained.after_step(0.0)
    moved = zip(before, trained.target[0].parameters(), trained.encoder.parameters(), strict=True)
    for old, target, online in moved:
        torch.testing.assert_close(target, (3 * old + online) / 4)
    trained.after_step(1.0)  # momentum 1: the target stands still at the end
    frozen = [p.clone() for p in trained.target[0].parameters()]
    assert all(torch.equal(a, b) for a, b in zip(frozen, trained.target[0].parameters(), strict=True))


def test_byol_predicts_the_targets_projection_of_the_other_view() -> None:
    trained, given = learner(build("byol")), batch()
    for p in weights(trained.target):
        p.mul_(0.5).add_(0.1)
    loss = trained.step(given, context()).loss
    (p1, p2), (y1, y2) = (
        [run(x) for x in given.views]
        for run in (nn.Sequential(trained.encoder, trained.head, trained.predictor), trained.target)
    )
    torch.testing.assert_close(loss, regression_loss(p1, y2) + regression_loss(p2, y1))


def test_directpreds_correlation_is_a_moving_average_from_the_first_batch_on() -> None:
    trained = learner(build("directpred", correlation_momentum=0.25))
    expected = torch.zeros(8, 8)
    for i in range(3):
        z = torch.cat([trained.head(trained.encoder(x)) for x in batch(i).views]).detach()
        expected = z.T @ z / len(z) if i == 0 else 0.25 * expected + 0.75 * z.T @ z / len(z)
        trained.step(batch(i), context(i))
        trained.after_step(0.5)
        torch.testing.assert_close(trained.correlation, expected)


def test_directpred_sets_its_predictor_from_the_projections_correlation() -> None:
    trained = learner(build("directpred", epsilon=0.0))
    given = batch()
    trained.step(given, context())
    z = torch.cat([trained.head(trained.encoder(x)) for x in given.views]).detach()
    trained.after_step(0.1)
    w, f = trained.predictor.weight, z.T @ z / len(z)
    largest = torch.linalg.eigvalsh(f)[-1]
    torch.testing.assert_close(w @ w, f / largest, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(w, w.T)
