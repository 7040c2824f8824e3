"""A small convolutional network."""

from torch import nn

from models.encoders.encoder import ENCODERS, Encoder


@ENCODERS.register("conv-small", modality="image")
def conv_small(*, width: int = 32) -> Encoder:
    """Four strided convolutions, 8·width features: learns much per CPU second on 32×32 images."""
    if width < 1:
        raise ValueError(f"width must be at least 1, got {width}; give for instance width=32")
    layers = nn.Sequential(
        *_halve(3, width, kernel=4),
        *_halve(width, 2 * width, kernel=3),
        *_halve(2 * width, 4 * width, kernel=3),
        *_halve(4 * width, 8 * width, kernel=3),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
    )
    return Encoder(layers, feature_dim=8 * width, modality="image")


def _halve(inputs: int, outputs: int, *, kernel: int) -> list[nn.Module]:
    """Half the height and width, by stride instead of pooling: no convolution runs at full size."""
    return [
        nn.Conv2d(inputs, outputs, kernel, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    ]
