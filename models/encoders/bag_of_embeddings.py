"""The mean of word embeddings."""

from torch import nn

from models.encoders.encoder import ENCODERS, Encoder


@ENCODERS.register("bag-of-embeddings", modality="text")
def bag_of_embeddings(*, vocabulary_size: int = 0, dim: int = 128) -> Encoder:
    """Text: the mean of its tokens' embeddings; padding does not count, a text without tokens is the zero vector.

    `vocabulary_size` counts the padding; 0 stands for the data set's, which the caller fills in.
    """
    if vocabulary_size < 2:
        raise ValueError(f"vocabulary_size must be at least 2 (padding and a token), got {vocabulary_size}")
    if dim < 1:
        raise ValueError(f"dim must be at least 1, got {dim}; give for instance dim=128")
    layers = nn.EmbeddingBag(vocabulary_size, dim, mode="mean", padding_idx=0)
    return Encoder(layers, feature_dim=dim, modality="text")
