"""Kalantidis et al. 2020 (arXiv 2010.01028): mixed hard negatives (MoCHi), with MoCo v2 on ImageNet-100.

ResNet-50, 200 epochs, a queue of 16,384, m = 0.999, t = 0.2, B = 128, SGD at 0.03; MoCHi(N, s, s′) = (1024, 1024, 128)
and (1024, 256, 512), mixed from the eleventh epoch on; the oracle without the query's class.

Run it with --set data.root=FOLDER --set data.test_split=val, of train/ and val/ with the 100 classes. Otherwise here:
SimCLR's augmentation at strength 0.5 (MoCo v2 blurs too), one GPU a trial where they shuffled batch norm over several.
"""

from study import Study, TrialConfig, grid

study = Study(
    "kalantidis2020",
    question="What do synthetic hard negatives do to accuracy, uniformity and alignment (Kalantidis et al. 2020)?",
    base=TrialConfig(
        data={"name": "image_folder", "image_size": 224},
        encoder="resnet50",
        head={"name": "mlp", "hidden": 2048},
        augmentation={"name": "simclr", "min_scale": 0.2},
        method={"name": "moco", "queue_size": 16384},
        optimizer={"name": "sgd", "learning_rate": 0.03, "warmup_epochs": 0},
        batch_size=128,
        epochs=200,
        temperature=0.2,
    ),
    space={
        "negatives": grid(
            "all",
            {"name": "mixing", "n": 1024, "s": 1024, "s_prime": 128},
            {"name": "mixing", "n": 1024, "s": 256, "s_prime": 512},
            "without_same_class",
        )
    },
    seeds=3,
    gpus=1,
)
