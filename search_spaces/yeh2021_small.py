"""Yeh et al. 2021 (arXiv 2110.06848) for two CPU cores: the decoupled objective against K, on CIFAR-10.

As published: SimCLR. Otherwise here: K instances of batches of 128 (K + 1 was the batch, 32 to 512), so that K alone
varies; 5,000 training images and 12 epochs (50,000 and 200), conv-small of width 16 (ResNet-18), SGD at 0.1, t = 0.2.
"""

from study import Study, TrialConfig, grid

study = Study(
    "yeh2021_small",
    question="Does leaving the positive out of the denominator help at small K (Yeh et al. 2021)?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 5000, "test_size": 5000},
        encoder={"name": "conv-small", "width": 16},
        method={"name": "simclr", "k_counts": "instances"},
        optimizer={"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 1.5},
        batch_size=128,
        epochs=12,
        temperature=0.2,
    ),
    space={"k": grid(7, 31, 127), "objective": grid("nt_xent", "decoupled")},
    seeds=4,
)
