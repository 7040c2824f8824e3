"""Wang & Liu 2021 (arXiv 2012.09740): the temperature, and the hard contrastive loss, on CIFAR-10.

ResNet-18, 200 epochs, all of a memory of 50,000 as negatives, or the hardest 4,095 of it, at t = 0.07 to 1. CIFAR-100:
--set data.name=cifar100. Published accuracies are not quoted: those at hand come from secondary notes.

Otherwise here, as the paper's own are not at hand: batch, learning rate and head are those of the memory bank that
they build on (Wu et al. 2018, 1805.01978: 128, 0.03, linear), the learning rate falls along a cosine.
"""

from study import Study, TrialConfig, grid

study = Study(
    "wang2021",
    question="How does the temperature trade uniformity for tolerance (Wang & Liu 2021)?",
    base=TrialConfig(
        data={"name": "cifar10", "download": True},
        encoder="resnet18",
        head="linear",
        augmentation={"name": "simclr", "min_scale": 0.2},
        method="memory_bank",
        optimizer={"name": "sgd", "learning_rate": 0.03, "weight_decay": 0.0005, "warmup_epochs": 0},
        batch_size=128,
        epochs=200,
    ),
    space={"temperature": grid(0.07, 0.3, 0.7, 1.0), "negatives": grid("all", "hardest")},
    seeds=3,
    gpus=1,
)
