"""Robinson et al. 2021 (arXiv 2010.04592): the hard-negative objective, on CIFAR-10, with their code's settings.

SimCLR with ResNet-50, a head of 512 hidden units with batch norm, 400 epochs, t = 0.5, τ⁺ = 0.1, B = 256, Adam at 0.001
with weight decay 1e-6; β is varied, 0 being the debiased objective. CIFAR-100: --set data.name=cifar100.

Otherwise here: the learning rate falls along a cosine (theirs stayed), and the weight decay is decoupled (AdamW).
"""

from study import Study, TrialConfig, grid

study = Study(
    "robinson2021",
    question="What do harder negatives bring, beyond the debiased objective (Robinson et al. 2021)?",
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
        {"objective": grid("nt_xent", "debiased", *({"name": "hard", "beta": beta} for beta in (0.5, 1.0, 2.0)))},
        {"negatives": grid("without_same_class"), "objective": grid("nt_xent")},
    ],
    seeds=3,
    gpus=1,
)
