"""Effect of temperature and K on what is learned, with verdicts: three minutes on two cores, on drawn shapes."""

from study import Study, TrialConfig, grid

study = Study(
    "quickstart",
    question="How do temperature and the number of negatives change what is learned?",
    base=TrialConfig(
        data={"name": "shapes", "train_size": 2000, "test_size": 1000},
        encoder={"name": "conv-small", "width": 16},
        augmentation={"name": "simclr", "min_scale": 0.4, "strength": 1.0},
        optimizer={"name": "adamw", "learning_rate": 0.003},
        batch_size=64,
        epochs=10,
    ),
    space={"temperature": grid(0.2, 1.0), "k": grid(8, 64)},
    seeds=3,
)
