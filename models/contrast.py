"""One contrastive step: one similarity product, K candidates an anchor, the strategy's selection, the objective."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from models.negatives.strategy import Candidates, Selection, Strategy
from models.objectives import Objective
from models.observe import observe, observe_classes, observe_objective
from models.pools import Pool
from models.precision import no_autocast


@dataclass(frozen=True)
class StepContext:
    """Where in training a step stands, and its randomness."""

    generator: torch.Generator
    temperature: float
    epoch: int = 0  # from 0
    epochs: int = 1
    observe: bool = False  # whether to compute what is only logged
    step: int = 0  # of the whole training, from 0


@dataclass(frozen=True)
class Step:
    """A step's loss, with gradient, and what was observed on the way (detached; see `observe`)."""

    loss: Tensor
    observed: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class Contrast:
    """Settings that every contrastive method shares: K, the strategy and the objective."""

    strategy: Strategy
    objective: Objective
    params: dict[str, Any] = field(default_factory=dict)  # of the objective
    k: int | None = None  # candidates an anchor; None: the whole pool
    directions: str = "both"  # of the objective: "one" view or "both" views of an instance are anchors
    class_similarity: Tensor | None = None  # [C, C] of the measure strategy.needs_similarity
    classes: int | None = None  # C, to observe which classes are selected for which; None: not observed

    def __call__(
        self,
        anchors: Tensor,
        positive: Tensor,
        pool: Pool,
        offered: Tensor | None,
        context: StepContext,
        *,
        labels: Tensor | None = None,
    ) -> Step:
        """The objective over the anchors, without autocast: similarities are divided by t, and ranked.

        Shapes: anchors [B, D] and positive [B, D] unit rows, or [B, M, D] for an objective that takes M positives; pool
        [P, D]; offered bool [B, P] or None (every row).
        """
        with no_autocast(anchors.device):
            s_pos = (anchors if positive.ndim == 2 else anchors[:, None]).mul(positive).sum(dim=-1)  # [B] or [B, M]
            s_neg = anchors @ pool.keys.T  # [B, P]: the step's one similarity product
            candidates = self._candidates(s_neg, anchors, pool, offered, labels, context, s_pos)
            with torch.no_grad():
                selection = _checked(
                    self.strategy.select(candidates, generator=context.generator), self.strategy, s_neg
                )
                log_weight = _log_weight(candidates, selection)
            negatives = s_neg
            if selection.synthetic is not None:
                s_synthetic = torch.einsum("bd,bsd->bs", anchors, selection.synthetic)  # [B, S]
                negatives = torch.cat([s_neg, s_synthetic], dim=1)  # [B, P + S]
                if log_weight is not None:
                    log_weight = F.pad(log_weight, (0, s_synthetic.shape[1]))
            arguments = {"temperature": context.temperature, "log_weight": log_weight, **self.params}
            loss = self.objective(s_pos, negatives, **arguments)
            if selection.attract is not None:
                loss = loss + attraction(s_pos, s_neg, selection.attract, temperature=context.temperature)
            observed = {}
            if context.observe:
                observed = observe(candidates, negatives.detach(), log_weight, s_pos.detach(), context.temperature)
                observed |= observe_objective(self.objective, s_pos.detach(), negatives.detach(), arguments)
                observed |= observe_classes(candidates, log_weight, self.classes) if self.classes else {}
        return Step(loss, observed)

    def _candidates(
        self,
        similarity: Tensor,
        anchors: Tensor,
        pool: Pool,
        offered: Tensor | None,
        labels: Tensor | None,
        at: StepContext,
        positive: Tensor,
    ) -> Candidates:
        matrix = None if self.class_similarity is None else self.class_similarity.to(anchors.device)
        return Candidates(
            similarity.detach(),
            anchors.detach(),
            pool.keys.detach(),
            offered,
            labels,
            pool.labels,
            epoch=at.epoch,
            epochs=at.epochs,
            class_similarity=matrix,
            k=self.k,
            positive=positive.detach().reshape(len(anchors), -1)[:, 0],
        )


def _checked(selection: Selection, strategy: Strategy, similarity: Tensor) -> Selection:
    """The selection; TypeError or ValueError where a user-defined strategy gave something else."""
    name = type(strategy).__name__
    if not isinstance(selection, Selection):
        given = type(selection).__name__
        raise TypeError(f"{name}.select must return a Selection, such as Selection.keep(mask), not a {given}")
    for part in ("log_weight", "attract"):
        of_pool = getattr(selection, part)
        if of_pool is not None and of_pool.shape != similarity.shape:
            raise ValueError(
                f"{name}.select gave {part} of shape {list(of_pool.shape)}; it must have the similarities' shape "
                f"[B, P], here {list(similarity.shape)}"
            )
    return selection


def attraction(positive: Tensor, similarity: Tensor, attract: Tensor, *, temperature: float) -> Tensor:
    """Term that further positives F_i add to an InfoNCE loss: (s⁺ − mean of s over {⁺} ∪ F_i)/t, mean over anchors.

    Shapes: positive [B], similarity [B, P], attract bool [B, P]. Source: Huynh 2020, 2011.11765, attraction.
    """
    total = positive + (similarity * attract).sum(dim=1)
    return ((positive - total / (1 + attract.sum(dim=1))) / temperature).mean()


def _log_weight(candidates: Candidates, selection: Selection) -> Tensor | None:
    if candidates.offered is None:
        return selection.log_weight
    if selection.log_weight is None:
        return Selection.keep(candidates.offered).log_weight
    return selection.log_weight.masked_fill(~candidates.offered, float("-inf"))
