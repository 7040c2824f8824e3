"""Mining as in metric learning, for two CPU cores, on CIFAR-10: triplets, semi-hard negatives, easy positives.

Schroff et al. 2015 (FaceNet, arXiv 1503.03832) train triplets with a margin of 0.2 on semi-hard negatives; Xuan et al.
2020 (arXiv 1904.04370) take the nearest of the class as positive, with a semi-hard negative or all of other classes.
Without labels the positive is the other view; with them, the references: easy positives, negatives of other classes.
"""

from study import Study, TrialConfig, grid

SEMI_HARD = {"name": "semi_hard", "margin": None, "count": 1}
OF_OTHERS = {**SEMI_HARD, "name": "semi_hard_other_class"}

study = Study(
    "mining_small",
    question="Do triplets and mined pairs learn what InfoNCE learns of all negatives?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 5000, "test_size": 5000},
        encoder={"name": "conv-small", "width": 16},
        head={"name": "mlp", "batch_norm": "hidden"},
        optimizer={"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 1.5},
        batch_size=128,
        epochs=12,
        temperature=0.2,
    ),
    space=[
        {"objective": grid("nt_xent", "triplet"), "negatives": grid("all", "semi_hard", SEMI_HARD)},
        {
            "method": grid("simclr", "simclr_easy_positive"),
            "objective": grid("nt_xent", "triplet"),
            "negatives": grid("without_same_class", OF_OTHERS),
        },
    ],
    seeds=3,
)
