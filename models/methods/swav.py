"""SwAV: swapped predictions of balanced cluster assignments, no negatives (Caron 2020, 2006.09882)."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from models.contrast import Contrast, Step, StepContext
from models.methods.method import METHODS, Batch, Learner, Method, TrainingContext
from models.precision import no_autocast


@METHODS.register("swav")
@dataclass(frozen=True, kw_only=True)
class SwAV(Method):
    """SwAV: each view predicts the other's balanced assignment to prototypes; no negatives.

    The assignments come from Sinkhorn iterations on raw cosines over epsilon, the predictions from cosines over t.
    Small views of multi-crop predict the assignments of both full views, and are assigned to none themselves.
    """

    has_negatives: ClassVar[bool] = False
    default_objective: ClassVar[str | None] = None
    takes_small_views: ClassVar[bool] = True
    head: ClassVar[Mapping[str, Any]] = {"batch_norm": "hidden"}
    rows_apart = True

    prototypes: int = 300
    """number of prototypes; 3000 in the paper, for ImageNet"""
    epsilon: float = 0.05
    """smoothness of the assignments"""
    iterations: int = 3
    """Sinkhorn iterations; each ends on the samples' normalisation"""
    freeze_steps: int = 313
    """steps at the beginning in which the prototypes do not move"""
    queue_size: int = 0
    """past embeddings of each view that are assigned along with the batch, once there are so many; 0: none"""

    def __post_init__(self) -> None:
        for name, least in (("prototypes", 2), ("iterations", 1), ("freeze_steps", 0), ("queue_size", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"swav: {name} must be at least {least}, got {getattr(self, name)}")
        if self.epsilon <= 0:
            raise ValueError(f"swav: epsilon must be positive, got {self.epsilon}; the authors use 0.05")

    def check(self, batch_size: int, train_count: int, epochs: int) -> None:
        if 0 < self.queue_size < batch_size:
            raise ValueError(f"swav: queue_size {self.queue_size} is smaller than batch_size {batch_size}; 0 is none")
        if self.freeze_steps >= epochs * (train_count // batch_size):
            raise ValueError(
                f"swav: freeze_steps {self.freeze_steps} is the whole training of "
                f"{epochs * (train_count // batch_size)} steps; lower freeze_steps or raise epochs"
            )

    def learner(
        self, encoder: nn.Module, head: nn.Module, contrast: Contrast | None, context: TrainingContext
    ) -> Learner:
        return _SwAV(encoder, head, self)


class _SwAV(Learner):
    queue: Tensor

    def __init__(self, encoder: nn.Module, head: nn.Module, method: SwAV) -> None:
        super().__init__(encoder, head)
        self.method = method
        self.prototypes = nn.Linear(self.dim, method.prototypes, bias=False)
        self.prototypes.weight.register_post_accumulate_grad_hook(self._freeze)
        self.register_buffer("queue", torch.zeros(2, method.queue_size, self.dim))
        self.at = 0  # the present step

    def _freeze(self, weight: Tensor) -> None:
        if self.at < self.method.freeze_steps:
            weight.grad = None  # the optimizer leaves it, with its decay and momentum

    def step(self, batch: Batch, context: StepContext) -> Step:
        self.at = context.step
        with torch.no_grad():
            self.prototypes.weight.copy_(F.normalize(self.prototypes.weight, dim=1))
        z = [*map(self.project, batch.views), *self.project_small(batch)]  # [B, D] each
        with no_autocast(z[0].device):
            scores = torch.stack([view @ self.prototypes.weight.T for view in z])  # [V, B, M]
            codes = torch.stack([self._assign(view, z[view].detach(), scores[view].detach()) for view in (0, 1)])
            return Step(swapped_prediction(scores, codes, temperature=context.temperature))

    @torch.no_grad()
    def _assign(self, view: int, z: Tensor, scores: Tensor) -> Tensor:
        """The codes [B, M] of a view, balanced with its queue; then the queue takes in its embeddings z [B, D]."""
        queue, batch = self.queue[view], len(z)
        if len(queue) and self.at * batch >= len(queue):  # it is full
            scores = torch.cat([queue @ self.prototypes.weight.T, scores])
        if len(queue):
            queue.copy_(torch.cat([z.to(queue.dtype), queue[:-batch]]))
        return sinkhorn(scores, epsilon=self.method.epsilon, iterations=self.method.iterations)[-batch:]


def sinkhorn(scores: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """Codes Q: e^{s/ε} scaled in turns so that prototypes share the samples equally, and a sample's codes sum to 1.

    By its logarithm, as e^{s/ε} of all samples may be 0 in float32. Shape: raw cosines [N, M] → [N, M]. Source:
    2006.09882, eq. 3 to 5, and the published code.
    """
    log_q = scores / epsilon
    for _ in range(iterations):
        log_q = log_q.log_softmax(dim=0).log_softmax(dim=1)
    return log_q.exp()


def swapped_prediction(scores: Tensor, codes: Tensor, *, temperature: float) -> Tensor:
    """−Σ_m q_i log softmax(s_v/t), of each assigned view i by every other view v; means over samples, views, pairs.

    Shapes: scores [V, B, M], codes [A, B, M] of the first A views. Nats. Source: 2006.09882, eq. 1 and 2.
    """
    log_p = (scores / temperature).log_softmax(dim=2)
    losses = [-(codes[i] * log_p[v]).sum(dim=1).mean() for i in range(len(codes)) for v in range(len(scores)) if v != i]
    return torch.stack(losses).mean()
