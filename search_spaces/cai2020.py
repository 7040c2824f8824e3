"""Cai et al. 2020 (arXiv 2010.06682): which negatives matter, by their difficulty, with MoCo v2 on ImageNet.

MoCo v2's settings: ResNet-50, 200 epochs, a queue of 65,536, m = 0.999, t = 0.2, B = 256, SGD at 0.03, a head of 2,048
hidden units. Published: the hardest 5 % of the negatives are necessary and sufficient for nearly full accuracy, the
easiest 95 % unnecessary and insufficient, the hardest 0.1 % unnecessary and sometimes detrimental.

Run it with --set data.root=FOLDER --set data.test_split=val, of train/ and val/ by wnid. Otherwise here: for each
condition a control of as many random negatives, SimCLR's augmentation at strength 0.5 (MoCo v2 blurs too), and one GPU
a trial where they shuffled batch norm over eight.
"""

from study import Study, TrialConfig, grid

BANDS = ("hardest_5pct", "easiest_95pct", "without_hardest_0.1pct", "hardest_5pct_without_0.1pct")
CONTROLS = (f"{band}_control" for band in BANDS)

study = Study(
    "cai2020",
    question="Which negatives are necessary, which sufficient (Cai et al. 2020)?",
    base=TrialConfig(
        data={"name": "image_folder", "image_size": 224},
        encoder="resnet50",
        head={"name": "mlp", "hidden": 2048},
        augmentation={"name": "simclr", "min_scale": 0.2},
        method="moco",
        optimizer={"name": "sgd", "learning_rate": 0.03, "warmup_epochs": 0},
        batch_size=256,
        epochs=200,
        temperature=0.2,
    ),
    space={"negatives": grid("all", *BANDS, *CONTROLS, "without_same_class", "without_same_class_in")},
    seeds=2,
    gpus=1,
)
