"""Wang & Liu 2021 (arXiv 2012.09740) for two CPU cores: what the temperature does, on CIFAR-10.

As published: t = 0.07, 0.3, 0.7 and 1. Otherwise here: 5,000 training images and 12 epochs (50,000 and 200), conv-small
of width 16 (ResNet-18), and SimCLR, whose pool is the batch of 128 (theirs is a memory of the data set); as SimCLR's
augmentation, SGD at 0.1.
"""

from study import Study, TrialConfig, grid

study = Study(
    "wang2021_small",
    question="How does the temperature trade uniformity for tolerance (Wang & Liu 2021)?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 5000, "test_size": 5000},
        encoder={"name": "conv-small", "width": 16},
        optimizer={"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 1.5},
        batch_size=128,
        epochs=12,
        evaluations=("linear", "knn", "contrastive", "geometry", "negatives"),
    ),
    space={"temperature": grid(0.07, 0.3, 0.7, 1.0)},
    seeds=3,
)
