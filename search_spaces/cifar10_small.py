"""K and hard negatives on CIFAR-10, sized for a CPU: 10,000 training images and a small convolutional net.

K grows by factors of 4 and the strategy keeps a quarter: all of K and the hardest quarter of 4 K are as many negatives.
"""

from study import Study, TrialConfig, grid

study = Study(
    "cifar10_small",
    question="What do more negatives bring on CIFAR-10, and what do only the hardest quarter of them?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 10_000},
        encoder="conv-small",
        augmentation={"name": "simclr", "min_scale": 0.2},
        optimizer={"name": "adamw", "learning_rate": 0.003, "weight_decay": 0.01, "warmup_epochs": 4},
        batch_size=256,
        epochs=40,
        temperature=0.2,
    ),
    space={
        "k": grid(16, 64, 256, 510),
        "negatives": grid("all", {"name": "difficulty", "hi": 0.25}),
    },
    seeds=2,
)
