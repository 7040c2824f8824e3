"""Yeh et al. 2021 (arXiv 2110.06848): the decoupled objective against the batch, on CIFAR-10.

SimCLR with ResNet-18, 200 epochs, batches of 32 to 512, weighted positives with σ = 0.5. Published for ImageNet,
ResNet-50, B = 256 and 200 epochs (abstract): 68.2 % with the decoupled objective, 6.4 points above SimCLR.

Otherwise here, as the paper's own are not at hand: t = 0.1, and SGD at 0.03 B/256, as MoCo.
"""

from study import Study, TrialConfig, grid

study = Study(
    "yeh2021",
    question="Does leaving the positive out of the denominator help at small batches (Yeh et al. 2021)?",
    base=TrialConfig(
        data={"name": "cifar10", "download": True},
        encoder="resnet18",
        augmentation="simclr",
        method={"name": "simclr", "k_counts": "instances"},
        optimizer={"name": "sgd", "weight_decay": 0.0005, "warmup_epochs": 10},
        epochs=200,
        temperature=0.1,
    ),
    space=[
        {
            "objective": grid("nt_xent", "decoupled", "decoupled_weighted"),
            "batch_size": grid(batch),
            "optimizer.learning_rate": grid(0.03 * batch / 256),
        }
        for batch in (32, 64, 128, 256, 512)
    ],
    seeds=3,
    gpus=1,
)
