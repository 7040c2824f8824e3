"""How many of the hardest negatives to remove, for two CPU cores: the share removed against 1/C, on CIFAR-10.

Cai et al. 2020 (arXiv 2010.06682) remove the hardest 0.1 % on ImageNet, where 1/C = 0.1 % of the negatives have the
query's class; on CIFAR-10 10 % have. Each share has a control that removes as many at random; the oracle removes those
of its class. Settings are those of `cai2020_small`. With the 20 superclasses of CIFAR-100: --set data.name=cifar100
--set data.labels=coarse.
"""

from study import Study, TrialConfig, grid

SHARES = (0.001, 0.01, 0.05, 0.1, 0.2, 0.4)

study = Study(
    "removed_share_small",
    question="Is the best share of hardest negatives to remove that of the negatives of the query's class, 1/C?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 5000, "test_size": 5000},
        encoder={"name": "conv-small", "width": 16},
        method={"name": "moco", "queue_size": 4096, "momentum": 0.99},
        optimizer={"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 1.5},
        batch_size=128,
        epochs=12,
        temperature=0.2,
        evaluations=("linear", "knn", "contrastive", "geometry", "negatives"),
    ),
    space=[
        {"negatives": grid("all", "without_same_class", *({"name": "difficulty", "lo": share} for share in SHARES))},
        {"negatives": grid(*({"name": "difficulty_control", "lo": share} for share in SHARES))},
    ],
    seeds=3,
)
