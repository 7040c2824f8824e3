"""Nozawa & Sato 2021 (arXiv 2102.06866) on AG News, with their published code's settings: K and bounds for texts.

The mean of 50-dimensional word embeddings (fastText's), a head of that width with batch norm, 100 epochs, t = 0.5, a
fifth of the words erased, LARC with 2 epochs of warm-up and no weight decay, three seeds, K + 1 = the batch of 16 to
512. They tried four learning rates at each (1 and 0.1, times B/256 or √B); here it is B/256.

Otherwise here: words are erased only (they also replaced words by one of the 5 nearest fastText words), and the
vocabulary is the 20,000 most frequent words (theirs, those of 5 occurrences or more).
"""

from study import Study, TrialConfig, grid

study = Study(
    "nozawa2021_text",
    question="Do more negatives raise accuracy on texts, and which bounds explain it (Nozawa & Sato 2021)?",
    base=TrialConfig(
        data={"name": "ag_news", "validation_size": 0},
        encoder={"name": "bag-of-embeddings", "dim": 50},
        head={"name": "mlp", "dim": 50, "batch_norm": "hidden"},
        augmentation={"name": "erase-replace", "erase_probability": 0.2, "replace_probability": 0.0},
        method={"name": "simclr", "k_counts": "instances"},
        optimizer={"name": "larc", "weight_decay": 0.0, "warmup_epochs": 2},
        epochs=100,
        temperature=0.5,
    ),
    space=[
        {"batch_size": grid(batch), "optimizer.learning_rate": grid(batch / 256)}
        for batch in (16, 32, 64, 128, 256, 512)
    ],
    seeds=3,
    gpus=1,
)
