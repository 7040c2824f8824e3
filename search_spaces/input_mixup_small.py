"""Mixing in the input for two CPU cores, on CIFAR-10: i-Mix (Lee et al. 2021, arXiv 2010.08887) and Un-Mix (Shen et al.
2022, arXiv 2003.05438).

Against SimCLR with the same one-directional objective, and against the mixing of hard negatives' embeddings (MoCHi,
Kalantidis et al. 2020, arXiv 2010.01028). α = 1 is the authors' for images. Their trainings are far larger.
"""

from study import Study, TrialConfig, grid

study = Study(
    "input_mixup_small",
    question="Does mixing images in the input help, and as much as mixing hard negatives?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 5000, "test_size": 5000},
        encoder={"name": "conv-small", "width": 16},
        head={"name": "mlp", "batch_norm": "hidden"},
        objective="info_nce",
        optimizer={"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 1.5},
        batch_size=128,
        epochs=12,
        temperature=0.2,
    ),
    space=[
        {"method": grid("simclr", "imix", {"name": "imix", "alpha": 0.2}, "unmix")},
        {"negatives": grid({"name": "mixing", "n": 16, "s": 16, "s_prime": 8, "warmup_epochs": 2})},
    ],
    seeds=3,
)
