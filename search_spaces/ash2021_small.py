"""Ash et al. 2021 (arXiv 2106.09943) for two CPU cores: does the best K grow with the number of classes? Drawn shapes.

Their theory trades collisions for coverage, so that the best K scales with the concepts of the data; in their vision
experiments accuracy hardly depended on K. Here of 4 and of all 20 shapes, as many images of each set, with the net and
the steps of the quickstart.
"""

from study import Study, TrialConfig, grid

FEW = ("circle", "square", "spiral", "cube")

study = Study(
    "ash2021_small",
    question="Does the best K grow with the number of classes (Ash et al. 2021)?",
    base=TrialConfig(
        data={"name": "shapes", "train_size": 2000, "test_size": 1000,
              "colour_semantics": 0.0, "turn": 0.1, "clutter": 0.05},
        encoder={"name": "conv-small", "width": 16},
        augmentation={"name": "simclr", "min_scale": 0.4, "strength": 1.0, "grey_probability": 0.5},
        optimizer={"name": "adamw", "learning_rate": 0.003},
        batch_size=64,
        epochs=10,
        temperature=0.1,
        evaluations=("linear", "contrastive", "geometry", "bounds"),
    ),
    space={"k": grid(2, 8, 32, 126), "data.classes": grid(FEW, None)},
    seeds=4,
)  # fmt: skip
