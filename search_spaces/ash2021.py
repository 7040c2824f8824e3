"""Ash et al. 2021 (arXiv 2106.09943): does the best K grow with the number of classes? CIFAR-100, fine, coarse labels.

Their theory trades collisions for coverage, so that the best K scales with the concepts of the data; in their vision
experiments accuracy hardly depended on K. Here the images are the same for both numbers of classes, 100 and 20, and so
is what is learned of them: what differs is which classes are to be told apart. ResNet-18, SimCLR at t = 0.5, K offered
from batches of 1,024, so that batch norm and steps do not change with it.
"""

from study import Study, TrialConfig, grid

study = Study(
    "ash2021",
    question="Does the best K grow with the number of classes (Ash et al. 2021)?",
    base=TrialConfig(
        data={"name": "cifar100"},
        encoder="resnet18",
        method={"name": "simclr", "k_counts": "instances"},
        optimizer={"name": "sgd", "learning_rate": 0.4, "warmup_epochs": 10},
        batch_size=1024,
        epochs=200,
        temperature=0.5,
        evaluations=("linear", "mean_classifier", "contrastive", "geometry", "bounds"),
    ),
    space={"k": grid(3, 15, 63, 255, 1023), "data.labels": grid("fine", "coarse")},
    seeds=3,
    gpus=1,
)
