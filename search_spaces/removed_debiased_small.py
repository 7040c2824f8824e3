"""Debiased and biased objectives with the hardest 0.1 % of the negatives removed, for two CPU cores, on CIFAR-10.

Both correct for negatives of the query's class: Chuang et al. 2020 (arXiv 2007.00224) in the objective, Cai et al. 2020
(arXiv 2010.06682) by removal; the hard objective (Robinson et al. 2021, arXiv 2010.04592) does the contrary beside it.
Of 4,096 keys 0.1 % are 4. Settings are those of `cai2020_small`, at the t = 0.5 of the objectives' authors.
"""

from study import Study, TrialConfig, grid

study = Study(
    "removed_debiased_small",
    question="Does the debiased objective gain from removing the hardest 0.1 % of the negatives, as the biased one?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 5000, "test_size": 5000},
        encoder={"name": "conv-small", "width": 16},
        method={"name": "moco", "queue_size": 4096, "momentum": 0.99},
        optimizer={"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 1.5},
        batch_size=128,
        epochs=12,
        temperature=0.5,
        evaluations=("linear", "knn", "contrastive", "geometry", "negatives"),
    ),
    space={
        "objective": grid("info_nce", "debiased", "hard"),
        "negatives": grid("all", "without_hardest_0.1pct", "without_same_class"),
    },
    seeds=3,
)
