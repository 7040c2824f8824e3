"""Which split a file is of, by its name."""

import re

TRAIN_NAMES = ("train", "training")
TEST_NAMES = ("test", "testing", "val", "validation", "valid")
"""Names of a split, the first that is there, in any case of letters."""


def split_of(path: str) -> str:
    """The last word of a path that is the name of a split, such as `train` of data/train-00000-of-00002.parquet; else
    empty."""
    words = re.split(r"[\W_]+", path)
    return next((word for word in reversed(words) if word.lower() in (*TRAIN_NAMES, *TEST_NAMES)), "")
