"""Nozawa & Sato 2021 (arXiv 2102.06866) on AG News for two CPU cores: K and bounds for texts, with t = 0.5.

As published: the mean of 50-dimensional word embeddings (fastText's), a head of that width with batch norm, a fifth of
the words erased, K counted in instances, K + 1 = 16 to 256. Otherwise here: at most 6,000 training texts and 20 epochs
(120,000 and 100), AdamW at 0.003 (LARC), K offered from batches of 256 (K + 1 was the batch), erasing alone (they also
replaced words by near ones); `nozawa2021_text` has what they had.
"""

from study import Study, TrialConfig, grid

study = Study(
    "nozawa2021_text_small",
    question="Do more negatives raise accuracy on texts, and which bounds explain it (Nozawa & Sato 2021)?",
    base=TrialConfig(
        data="ag_news",
        encoder={"name": "bag-of-embeddings", "dim": 50},
        head={"name": "mlp", "dim": 50, "batch_norm": "hidden"},
        augmentation={"name": "erase-replace", "erase_probability": 0.2, "replace_probability": 0.0},
        method={"name": "simclr", "k_counts": "instances"},
        optimizer={"name": "adamw", "learning_rate": 0.003, "warmup_epochs": 2},
        epochs=20,
        temperature=0.5,
    ),
    space={"k": grid(15, 63, 255)},
    seeds=3,
)
