"""K and hard negatives on CIFAR-10, sized for a CPU: 10,000 training images and a small convolutional net."""

from study import Study, TrialConfig, grid

study = Study(
    "cifar10_small",
    question="With CIFAR-10's classes, what do more negatives bring, and what do only the hardest of them?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 10_000},
        encoder="conv-small",
        batch_size=256,
        epochs=16,
        temperature=0.2,
    ),
    space={
        "k": grid(16, 64, 256, 510),
        "negatives": grid("all", {"name": "difficulty", "hi": 0.25}),
    },
    seeds=2,
    cpus=1,
)
