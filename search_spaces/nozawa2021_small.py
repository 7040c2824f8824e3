"""Nozawa & Sato 2021 (arXiv 2102.06866) for two CPU cores: accuracy and bounds against K, on CIFAR-10 with t = 0.5.

As published: SimCLR over both views of the other instances of a batch, K counted in instances, a head with batch norm
behind its hidden layer. Published with K + 1 = 32, 64, 128: 77.13, 79.70, 81.33 % (linear, embeddings), 72.75, 75.30,
77.22 % (mean classifier), mean of three seeds. Otherwise here: 5,000 training images and 12 epochs (50,000 and 500),
conv-small of width 16 (ResNet-18), SGD at 0.1 (LARC at 1), and K offered from batches of 128 (K + 1 was the batch, so
that batch norm and steps changed with it); `nozawa2021` has what they had.
"""

from study import Study, TrialConfig, grid

study = Study(
    "nozawa2021_small",
    question="Do more negatives raise accuracy, and which bounds explain it (Nozawa & Sato 2021)?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 5000, "test_size": 5000},
        encoder={"name": "conv-small", "width": 16},
        head={"name": "mlp", "batch_norm": "hidden"},
        method={"name": "simclr", "k_counts": "instances"},
        optimizer={"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 1.5},
        batch_size=128,
        epochs=12,
        temperature=0.5,
        evaluations=("linear", "mean_classifier", "contrastive", "geometry", "bounds"),
    ),
    space={"k": grid(15, 31, 63, 127)},
    seeds=3,
)
