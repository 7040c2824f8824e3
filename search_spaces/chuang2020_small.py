"""Chuang et al. 2020 (arXiv 2007.00224) for two CPU cores: the debiased objective and the oracle, on CIFAR-10.

As published: SimCLR, t = 0.5, τ⁺ = 0.1 = 1/C, the oracle that draws from other classes. Otherwise here: 5,000 training
images and 12 epochs (50,000 and 400), conv-small of width 16 (ResNet-50), B = 128 (256), SGD at 0.1 (Adam at 0.001).
Published on STL-10 (the authors' repository): 80.15 % biased, 84.26 % debiased.
"""

from study import Study, TrialConfig, grid

study = Study(
    "chuang2020_small",
    question="What does correcting for false negatives bring, and how near to the oracle (Chuang et al. 2020)?",
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
        {"objective": grid("nt_xent", "debiased")},
        {"objective": grid("nt_xent"), "negatives": grid("without_same_class")},
    ],
    seeds=4,
)
