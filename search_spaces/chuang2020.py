"""Chuang et al. 2020 (arXiv 2007.00224): the debiased objective, on CIFAR-10, as published.

SimCLR with ResNet-50, a head of 512 hidden units with batch norm, 400 epochs, t = 0.5, B = 256, Adam at 0.001 with
weight decay 1e-6; τ⁺ varied, more views as further positives, and the oracle that draws from other classes. Published
on STL-10 (the authors' repository): 80.15 % biased, 81.85 % at τ⁺ = 0.05, 84.26 % at τ⁺ = 0.1.

Otherwise here: the learning rate falls along a cosine (theirs stayed), and the weight decay is decoupled (AdamW).
"""

from study import Study, TrialConfig, grid

study = Study(
    "chuang2020",
    question="What does correcting for false negatives bring, and how near to the oracle (Chuang et al. 2020)?",
    base=TrialConfig(
        data={"name": "cifar10", "download": True},
        encoder="resnet50",
        head={"name": "mlp", "hidden": 512, "batch_norm": "hidden"},
        augmentation="simclr",
        optimizer={"name": "adamw", "learning_rate": 0.001, "weight_decay": 1e-6, "warmup_epochs": 0},
        batch_size=256,
        epochs=400,
        temperature=0.5,
    ),
    space=[
        {"objective": grid("nt_xent", *({"name": "debiased", "tau_plus": tau} for tau in (0.01, 0.05, 0.1)))},
        {"negatives": grid("without_same_class"), "objective": grid("nt_xent")},
        {"method": grid({"name": "simclr", "further_views": 1}), "objective": grid("debiased")},
    ],
    seeds=3,
    gpus=1,
)
