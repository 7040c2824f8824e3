"""Every method, objective and strategy once on CIFAR-10, sized for a CPU: 5,000 images, 12 epochs of 39 steps.

For 468 steps, averages forget within 100 of them (0.999 would keep 63 % of the initial network to the end), the queue
fills within an epoch, warm-ups are short, the bank, an epoch old, is met at t = 0.5: at 0.07 NCE flees its own rows.
"""

from study import Study, TrialConfig, grid

MOCO = {"name": "moco", "queue_size": 4096, "momentum": 0.99}  # v2; v1 is linear at t = 0.07
BYOL, BANK = {"name": "byol", "momentum": 0.97}, {"name": "memory_bank"}
CONDITIONS = ("hardest_5pct", "easiest_95pct", "without_hardest_0.1pct", "hardest_5pct_without_0.1pct")
ORACLES = ("without_same_class", "only_same_class", "without_same_class_in", {"name": "semantic", "hi": 0.9})
QUARTERS = [{"name": name, "hi": 0.25} for name in ("difficulty", "difficulty_control")]
RINGS = [{"name": name, "outer": 0.25, "anneal_epochs": 6} for name in ("ring", "ball")]
FOUND = [{"name": "false_negative_cancellation", "top_k": 40, "mode": mode} for mode in ("eliminate", "attract")]

study = Study(
    "methods_small",
    question="Which methods, objectives and strategies learn on CIFAR-10 within a minute of two cores?",
    base=TrialConfig(
        data={"name": "cifar10", "train_size": 5000, "test_size": 5000},
        encoder={"name": "conv-small", "width": 16},
        method=MOCO,
        optimizer={"name": "sgd", "learning_rate": 0.1, "warmup_epochs": 1.5},
        batch_size=128,
        epochs=12,
        temperature=0.2,
    ),
    space=[
        {"method": grid(MOCO, {**MOCO, "symmetric": True}, "simclr", "simsiam", "supcon", "supervised")},
        {"method": grid({"name": "swav", "freeze_steps": 39}, BYOL, {**BYOL, "name": "directpred"})},
        {"method": grid(MOCO), "head": grid("linear"), "temperature": grid(0.07)},
        {"method": grid(BANK, {**BANK, "loss": "nce"}), "head": grid("linear"), "temperature": grid(0.5)},
        {"method": grid("simclr"), "objective": grid("info_nce", "decoupled", "decoupled_weighted", "ifm")},
        {"method": grid("simclr"), "objective": grid("debiased", "hard"), "temperature": grid(0.5)},
        {"negatives": grid({"name": "uniform", "fraction": 0.25}, *QUARTERS, "hardest", *RINGS, *FOUND)},
        {"negatives": grid(*ORACLES, {"name": "mixing", "warmup_epochs": 2}, *CONDITIONS)},
        {"negatives": grid(*(f"{name}_control" for name in CONDITIONS))},
    ],
)
