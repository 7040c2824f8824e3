"""Data sets by name. One's own: subclass `DataSource`, register it in `DATASETS`."""

from study.data import ag_news, cifar, image_folder, shapes, torchvision_set  # noqa: F401 (they register themselves)
from study.data.dataset import DATASETS, Dataset, DataShape, DataSource, Split

__all__ = ["DATASETS", "DataShape", "DataSource", "Dataset", "Split"]
