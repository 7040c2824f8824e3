"""Cai et al. 2020 (arXiv 2010.06682) for two CPU cores: which negatives matter, by their difficulty, on CIFAR-10.

As published: MoCo v2 at t = 0.2; the hardest 5 %, the easiest 95 % and all but the hardest 0.1 % of each query's queue,
and the oracle without those of its class. Published for ImageNet: the hardest 5 % necessary and sufficient, the easiest
95 % neither, the hardest 0.1 % unnecessary and sometimes detrimental. Otherwise here: 5,000 training images and 12
epochs (1.28 million and 200), conv-small of width 16 (ResNet-50), a queue of 4,096 with m = 0.99 (65,536 and 0.999: 468
steps would not fill it, nor forget the start), B = 128 (256), SGD at 0.1; a control of as many random negatives.
"""

from study import Study, TrialConfig, grid

CONDITIONS = ("hardest_5pct", "hardest_5pct_control", "easiest_95pct", "easiest_95pct_control")

study = Study(
    "cai2020_small",
    question="Which negatives are necessary, which sufficient (Cai et al. 2020)?",
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
    space={"negatives": grid("all", *CONDITIONS, "without_hardest_0.1pct", "without_same_class")},
    seeds=3,
)
