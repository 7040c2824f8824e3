"""Nozawa & Sato 2021 (arXiv 2102.06866): accuracy and bounds against K on CIFAR-10, as published.

SimCLR, ResNet-18 with the stem for CIFAR, a head with batch norm behind its hidden layer, 500 epochs, t = 0.5, LARC at
B/256 with 10 epochs of warm-up, weight decay 1e-4, three seeds; K + 1 is the batch B. CIFAR-100 had B = 128 to 1024:
--set data.name=cifar100. Published (mean classifier / linear on embeddings, %; tables of losses and bounds in the
paper): 72.75 / 77.13 at 32, 75.30 / 79.70 at 64, 77.22 / 81.33 at 128, 78.60 / 82.85 at 256, 80.12 / 84.13 at 512.

Otherwise here: our augmentation draws the order of the colour operations once a batch, the probe is fitted to its
optimum, our seeds are 0, 1, 2, and a batch is on one device (theirs on four, with synchronised batch norm).
"""

from study import Study, TrialConfig, grid

study = Study(
    "nozawa2021",
    question="Do more negatives raise accuracy, and which bounds explain it (Nozawa & Sato 2021)?",
    base=TrialConfig(
        data={"name": "cifar10", "download": True, "validation_size": 0},
        encoder="resnet18",
        head={"name": "mlp", "batch_norm": "hidden"},
        method={"name": "simclr", "k_counts": "instances"},
        optimizer={"name": "larc", "warmup_epochs": 10},
        epochs=500,
        temperature=0.5,
    ),
    space=[
        {"batch_size": grid(batch), "optimizer.learning_rate": grid(batch / 256)} for batch in (32, 64, 128, 256, 512)
    ],
    seeds=3,
    gpus=1,
)
