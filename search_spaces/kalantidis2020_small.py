"""Kalantidis et al. 2020 (arXiv 2010.01028) for two CPU cores: mixed hard negatives (MoCHi), on CIFAR-10.

As published: MoCo v2, t = 0.2, a sixteenth of the queue to mix from: MoCHi(1024, 1024, 128) of 16,384 is (256, 256, 32)
of the 4,096 here, after the first sixth of the epochs. Otherwise here: 5,000 training images of CIFAR-10 and 12 epochs
(ImageNet-100 and 200), conv-small of width 16 (ResNet-50), m = 0.99 (0.999: longer than these 468 steps), SGD at 0.1.
"""

from study import Study, TrialConfig, grid

study = Study(
    "kalantidis2020_small",
    question="What do synthetic hard negatives do to accuracy, uniformity and alignment (Kalantidis et al. 2020)?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 5000, "test_size": 5000},
        encoder={"name": "conv-small", "width": 16},
        method={"name": "moco", "queue_size": 4096, "momentum": 0.99},
        optimizer={"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 1.5},
        batch_size=128,
        epochs=12,
        temperature=0.2,
    ),
    space={"negatives": grid("all", {"name": "mixing", "n": 256, "s": 256, "s_prime": 32, "warmup_epochs": 2})},
    seeds=4,
)
