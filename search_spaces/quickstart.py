"""Effect of K, temperature and dropping collisions on what is learned. Four minutes on two cores, on drawn shapes."""

from study import Study, TrialConfig, grid

study = Study(
    "quickstart",
    question="How do the number of negatives, the temperature and dropping collisions change what is learned?",
    base=TrialConfig(
        data={"name": "shapes", "train_size": 2000, "test_size": 1000},
        encoder={"name": "conv-small", "width": 16},
        batch_size=128,
        epochs=10,
    ),
    space={
        "k": grid(8, 32, 128),
        "temperature": grid(0.1, 0.5),
        "negatives": grid("all", "without_same_class"),
    },
    seeds=1,
)
