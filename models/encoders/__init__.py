"""Encoders by name. One's own: any module or function that makes one, registered in `ENCODERS`."""

from models.encoders import bag_of_embeddings, conv_small, libraries, resnet  # noqa: F401 (they register themselves)
from models.encoders.encoder import ENCODERS, Encoder, as_encoder, example, seeded

__all__ = ["ENCODERS", "Encoder", "as_encoder", "example", "seeded"]
