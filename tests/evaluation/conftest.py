from collections.abc import Callable

import pytest
import torch
from torch.nn import functional as F

from study.evaluation import Encoded
from study.evaluation.evaluation import FeatureViews, HeldOut


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def make_encoded() -> Callable[..., Encoded]:
    """Encodings with classes around random centres; `noise` is the spread around them."""

    def make(
        *, classes: int = 4, train: int = 80, test: int = 60, width: int = 12, dim: int = 8, noise: float = 0.5,
        views: int = 3, k: int | None = 16, temperature: float = 0.2, labels: bool = True,
    ) -> Encoded:  # fmt: skip
        draw = torch.Generator().manual_seed(7)
        centres, project = torch.randn(classes, width, generator=draw), torch.randn(width, dim, generator=draw)
        labels_train, labels_test = torch.arange(train) % classes, torch.arange(test) % classes

        def around(y: torch.Tensor) -> torch.Tensor:
            return centres[y] + noise * torch.randn(len(y), width, generator=draw)

        def z(h: torch.Tensor) -> torch.Tensor:
            return F.normalize(h @ project, dim=1)

        def views_of(h: torch.Tensor) -> torch.Tensor:
            return torch.stack([h + 0.2 * torch.randn(h.shape, generator=draw) for _ in range(views)])

        h_train, h_test = around(labels_train), around(labels_test)
        seen_train, seen_test = views_of(h_train), views_of(h_test)
        held = torch.arange(train // 2) % classes
        h_held = around(held)
        return Encoded(
            features_train=h_train,
            features_test=h_test,
            embeddings_train=z(h_train),
            embeddings_test=z(h_test),
            mean_views_train=F.normalize(seen_train @ project, dim=2).mean(dim=0),
            views_test=F.normalize(seen_test @ project, dim=2),
            feature_views=FeatureViews(F.normalize(seen_train, dim=2).mean(dim=0), F.normalize(seen_test, dim=2)),
            validation=HeldOut(h_held, z(h_held), held) if labels else None,
            labels_train=labels_train if labels else None,
            labels_test=labels_test if labels else None,
            classes=tuple(f"c{c}" for c in range(classes)),
            temperature=temperature,
            k=k,
        )

    return make
