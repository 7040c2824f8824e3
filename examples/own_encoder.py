"""An encoder of one's own: an nn.Module over patches, registered as it is."""

import torch
from torch import Tensor, nn

from models.encoders import ENCODERS
from study import Study, TrialConfig, grid


@ENCODERS.register("patch-mixer", modality="image")
class PatchMixer(nn.Module):
    """Patches of the image, mixed across places and across channels (Tolstikhin 2021, 2105.01601): width features."""

    def __init__(
        self, *, width: int = 64, patch: int = 8, depth: int = 2, input_size: tuple[int, int] = (32, 32)
    ) -> None:
        super().__init__()
        if any(side % patch for side in input_size):
            raise ValueError(
                f"patch-mixer: patch must divide the image's sides {input_size}, got {patch}; such as patch=8"
            )
        places = (input_size[0] // patch) * (input_size[1] // patch)
        self.cut = nn.Conv2d(3, width, patch, patch)
        self.across_places = nn.ModuleList(nn.Linear(places, places) for _ in range(depth))
        self.across_channels = nn.ModuleList(
            nn.Sequential(nn.LayerNorm(width), nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
            for _ in range(depth)
        )

    def forward(self, images: Tensor) -> Tensor:
        """Images [B, 3, H, W] to features [B, width]."""
        h: Tensor = self.cut(images).flatten(2).transpose(1, 2)  # [B, places, width]
        for places, channels in zip(self.across_places, self.across_channels, strict=True):
            h = h + torch.relu(places(h.transpose(1, 2))).transpose(1, 2)
            h = h + channels(h)
        return h.mean(dim=1)


study = Study(
    "own-encoder",
    question="Do patches of 4 pixels learn more than patches of 8?",
    base=TrialConfig(data={"name": "shapes", "train_size": 2000}, encoder="patch-mixer", batch_size=128, epochs=5),
    space={"encoder.patch": grid(4, 8)},
    seeds=2,
)
if __name__ == "__main__":
    print(study.run())
