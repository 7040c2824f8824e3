"""Robinson et al. 2021 (arXiv 2010.04592) for two CPU cores: the hard-negative objective, on CIFAR-10.

As published: SimCLR, t = 0.5, τ⁺ = 0.1, β = 1, and the debiased objective, which is β = 0. Otherwise here: 5,000
training images and 12 epochs (50,000 and 400), conv-small of width 16 (ResNet-50), B = 128 (256), SGD at 0.1 (Adam).
"""

from study import Study, TrialConfig, grid

study = Study(
    "robinson2021_small",
    question="What do harder negatives bring, beyond the debiased objective (Robinson et al. 2021)?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 5000, "test_size": 5000},
        encoder={"name": "conv-small", "width": 16},
        head={"name": "mlp", "batch_norm": "hidden"},
        optimizer={"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 1.5},
        batch_size=128,
        epochs=12,
        temperature=0.5,
    ),
    space=[
        {"objective": grid("nt_xent", "debiased", "hard")},
        {"objective": grid("nt_xent"), "negatives": grid("without_same_class")},
    ],
    seeds=4,
)
