"""Effect of temperature and K on what is learned, with verdicts: in minutes on two cores, on drawn shapes.

Ten shapes of random colours, which a small net learns in seconds: colours tell nothing of the class, so the untrained
encoder knows little, and views that are grey or of other colours teach it to look at the outline.
"""

from study import Study, TrialConfig, grid

study = Study(
    "quickstart",
    question="How do temperature and the number of negatives change what is learned?",
    base=TrialConfig(
        data={
            "name": "shapes", "train_size": 2000, "test_size": 1000,
            "classes": ("circle", "semicircle", "square", "isosceles_triangle", "pentacle",
                        "crescent", "spiral", "wave", "cube", "cylinder"),
            "colour_semantics": 0.0, "turn": 0.1, "clutter": 0.05,
        },
        encoder={"name": "conv-small", "width": 16},
        augmentation={"name": "simclr", "min_scale": 0.4, "strength": 1.0, "grey_probability": 0.5},
        optimizer={"name": "adamw", "learning_rate": 0.003},
        batch_size=64,
        epochs=9,
    ),
    space={"temperature": grid(0.07, 0.7), "k": grid(4, 126)},
    seeds=4,
)  # fmt: skip
