"""Each sample of a batch against torchvision's functional operators, and the distribution of what is drawn."""

import pytest
import torch
from torch import Tensor

from models import augment
from models.augment import AUGMENTATIONS, CropFlip, EraseReplace, NoAugmentation, SimCLRViews
from models.multi_crop import MultiCrop  # noqa: F401 (it registers itself)
from models.ranks import Share

COUNT = 12
TOLERANCE = 1e-5  # float32, values in [0, 1]


@pytest.fixture
def images(generator: torch.Generator) -> Tensor:
    return torch.randint(0, 256, (COUNT, 32, 32, 3), generator=generator, dtype=torch.uint8)


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def one(planes: Tensor, i: int) -> Tensor:
    """Sample i as torchvision takes it, [3, H, W]."""
    return planes[:, i]


def test_blur_equals_torchvision(generator: torch.Generator) -> None:
    from torchvision.transforms.v2 import functional

    planes = torch.rand(3, 4, 40, 60, generator=generator)
    sigma = torch.tensor([0.1, 0.7, 1.3, 2.0])
    ours = augment.blur(planes, sigma)
    for i in range(4):
        theirs = functional.gaussian_blur(one(planes, i), [5, 5], [sigma[i].item()])
        torch.testing.assert_close(one(ours, i), theirs, atol=TOLERANCE, rtol=0)


def test_blur_is_of_the_share_that_is_asked_for_and_leaves_other_draws_alone(images: Tensor) -> None:
    def views(probability: float) -> Tensor:
        made = SimCLRViews(blur_probability=probability)(images, generator=torch.Generator().manual_seed(1))
        return made.flatten(1)

    some, most = ((views(p) != views(0)).any(dim=1).sum() for p in (0.5, 1.0))  # of 0.1 pixels no blur is seen
    assert 0 < some < most <= COUNT


@pytest.mark.parametrize("antialias", [True, False])
def test_resized_crop_equals_torchvision(antialias: bool, images: Tensor, generator: torch.Generator) -> None:
    from torchvision.transforms.v2 import functional

    planes = augment.to_planes(images[:, :, :24].contiguous())  # not square
    boxes = augment.random_boxes(COUNT, 32, 24, min_scale=0.02, generator=generator)
    flip = torch.arange(COUNT) % 2 == 0
    ours = augment.resized_crop(planes, boxes, flip)
    for i, (top, left, height, width) in enumerate(boxes.int().tolist()):
        theirs = functional.resized_crop(one(planes, i), top, left, height, width, [32, 24], antialias=antialias)
        theirs = functional.horizontal_flip(theirs) if flip[i] else theirs
        torch.testing.assert_close(one(ours, i), theirs, atol=TOLERANCE, rtol=0)


def test_boxes_lie_in_the_image_with_the_area_and_ratio_asked_for(generator: torch.Generator) -> None:
    top, left, height, width = augment.random_boxes(20_000, 32, 32, min_scale=0.25, generator=generator).unbind(1)
    assert (top >= 0).all()
    assert (left >= 0).all()
    assert (top + height <= 32).all()
    assert (left + width <= 32).all()
    area, ratio = height * width / 32**2, width / height
    assert area.min() > 0.25 - 0.03  # whole pixels
    assert area.max() > 0.97
    assert ratio.min() > 0.75 - 0.07
    assert ratio.max() < 4 / 3 + 0.1
    assert ratio.log().mean().abs() < 0.01
    assert top[height == 16].unique().numel() == 17  # every place


def test_boxes_have_the_distribution_of_torchvision(generator: torch.Generator) -> None:
    from torchvision.transforms.v2 import RandomResizedCrop

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        crop = RandomResizedCrop(32, scale=(0.08, 1.0))
        drawn = [crop.make_params([torch.empty(3, 32, 32)]) for _ in range(3000)]
    theirs = torch.tensor([[p["top"], p["left"], p["height"], p["width"]] for p in drawn], dtype=torch.float32)
    ours = augment.random_boxes(3000, 32, 32, min_scale=0.08, generator=generator)
    error = (ours.var(0) / 3000 + theirs.var(0) / 3000).sqrt()
    assert ((ours.mean(0) - theirs.mean(0)).abs() < 4 * error).all()
    assert ((ours.std(0) / theirs.std(0) - 1).abs() < 0.1).all()


def test_boxes_that_never_fit_are_the_whole_image(generator: torch.Generator) -> None:
    boxes = augment.random_boxes(5, 4, 400, min_scale=1.0, generator=generator)
    assert boxes.tolist() == [[0, 0, 4, 400]] * 5


@pytest.mark.parametrize("augmentation", [SimCLRViews(), CropFlip(), NoAugmentation()])
def test_images_leave_normalised_as_channels_last_floats(
    augmentation: SimCLRViews | CropFlip | NoAugmentation, images: Tensor, generator: torch.Generator
) -> None:
    before = images.clone()
    out = augmentation(images, generator=generator)
    assert out.shape == (COUNT, 3, 32, 32)
    assert out.dtype == torch.float32
    assert out.is_contiguous(memory_format=torch.channels_last)
    assert out.min() >= (0 - augment.MEAN) / augment.STD - TOLERANCE
    assert out.max() <= (1 - augment.MEAN) / augment.STD + TOLERANCE
    assert torch.equal(images, before)


def test_no_augmentation_only_normalises(images: Tensor) -> None:
    expected = (images.permute(0, 3, 1, 2) / 255 - augment.MEAN) / augment.STD
    torch.testing.assert_close(NoAugmentation()(images), expected)


def test_simclr_without_jitter_and_grey_is_crop_flip(images: Tensor) -> None:
    still = SimCLRViews(jitter_probability=0, grey_probability=0)
    ours = still(images, generator=torch.Generator().manual_seed(5))
    theirs = CropFlip()(images, generator=torch.Generator().manual_seed(5))
    torch.testing.assert_close(ours, theirs, atol=1e-4, rtol=0)  # units of STD; through HSV and back


def test_simclr_turns_the_asked_share_grey(generator: torch.Generator) -> None:
    red = torch.tensor([200, 40, 40], dtype=torch.uint8).expand(4000, 2, 2, 3)
    out = SimCLRViews(strength=0)(red, generator=generator)
    grey = (out[:, 0] - out[:, 1]).abs().amax(dim=(1, 2)) < 1e-3
    assert 0.18 < grey.float().mean() < 0.22


def test_simclr_jitters_the_asked_share_of_samples_each_with_its_own_factors(generator: torch.Generator) -> None:
    colour = torch.tensor([150, 100, 60], dtype=torch.uint8).expand(4000, 2, 2, 3)
    out = SimCLRViews(grey_probability=0)(colour, generator=generator)[:, :, 0, 0]
    same = (out - NoAugmentation()(colour)[:, :, 0, 0]).abs().amax(dim=1) < 1e-4
    assert 0.18 < same.float().mean() < 0.22
    assert out[~same].unique(dim=0).shape[0] == (~same).sum()


def test_simclr_draws_every_order_of_the_jitter(images: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    called: list[str] = []
    for name in ("brightness", "contrast", "saturation", "hue"):
        operator = getattr(augment, f"adjust_{name}")
        monkeypatch.setattr(
            augment,
            f"adjust_{name}",
            lambda x, f, name=name, operator=operator: (called.append(name), operator(x, f))[1],
        )
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        SimCLRViews()(images[:1], generator=generator)
    assert len({tuple(called[i : i + 4]) for i in range(0, len(called), 4)}) == 24


@pytest.mark.parametrize("name", AUGMENTATIONS.names())
def test_same_generator_same_views_and_two_draws_differ(name: str, images: Tensor) -> None:
    entry = AUGMENTATIONS[name]
    augmentation = entry(vocabulary_size=50) if name == "erase-replace" else entry()
    inputs = torch.arange(1, 41).view(2, 20) if augmentation.modality == "text" else images
    generator = torch.Generator().manual_seed(3)
    first, second = augmentation(inputs, generator=generator), augmentation(inputs, generator=generator)
    again = augmentation(inputs, generator=torch.Generator().manual_seed(3))
    assert torch.equal(first, again)
    assert torch.equal(first, second) == (name == "none")


STEPS = [(n, s) for n in AUGMENTATIONS for s in ("__call__", "after_crop", "small") if hasattr(AUGMENTATIONS[n], s)]


@pytest.mark.parametrize(("name", "step"), STEPS)
def test_a_share_of_a_batch_has_the_views_that_it_has_in_the_whole(name: str, step: str, images: Tensor) -> None:
    given = {"erase-replace": {"vocabulary_size": 50}, "simclr": {"blur_probability": 0.5}}.get(name, {})
    made = getattr(AUGMENTATIONS[name](**given), step)
    inputs = torch.arange(1, 161).view(8, 20) if name == "erase-replace" else images[:8]
    draw = torch.Generator().manual_seed(3)
    whole, state = made(inputs, generator=draw), draw.get_state()
    for rank in range(4):
        share, draw = Share(rank, 4), torch.Generator().manual_seed(3)
        own = made(share.of(inputs), generator=draw, share=share)
        torch.testing.assert_close(own, share.of(whole), rtol=0, atol=1e-6)
        assert torch.equal(draw.get_state(), state), "the draws that follow are those of one process"


def test_erase_replace_changes_the_asked_shares_and_never_padding(generator: torch.Generator) -> None:
    tokens = torch.randint(1, 1000, (400, 60), generator=generator)
    tokens[:, 50:] = 0
    out = EraseReplace(erase_probability=0.3, replace_probability=0.2, vocabulary_size=1000)(
        tokens, generator=generator
    )
    assert (out[:, 50:] == 0).all()
    text, new = tokens[:, :50], out[:, :50]
    erased, replaced = new == 0, (new != text) & (new != 0)
    assert 0.28 < erased.float().mean() < 0.32
    assert 0.7 * 0.18 < replaced.float().mean() < 0.7 * 0.22
    assert new.max() < 1000
    assert out.dtype == tokens.dtype


def test_erase_never_takes_a_texts_last_token(generator: torch.Generator) -> None:
    tokens = torch.tensor([[7, 8, 9, 0], [5, 0, 0, 0], [0, 0, 0, 0]])
    out = EraseReplace(erase_probability=1, replace_probability=0, vocabulary_size=10)(tokens, generator=generator)
    assert (out != 0).sum(dim=1).tolist() == [1, 1, 0]


@pytest.mark.parametrize(
    ("entry", "parameters", "message"),
    [
        (SimCLRViews, {"strength": 2.0}, "strength must be between 0 and 1.25"),
        (SimCLRViews, {"min_scale": 0.0}, "min_scale must be above 0"),
        (SimCLRViews, {"jitter_probability": -0.1}, "jitter_probability must be between 0 and 1, got -0.1"),
        (SimCLRViews, {"grey_probability": 1.5}, "grey_probability must be between 0 and 1, got 1.5"),
        (CropFlip, {"min_scale": 1.5}, "min_scale must be between 0 and 1, got 1.5"),
        (EraseReplace, {"erase_probability": 1.5}, "erase_probability must be between 0 and 1"),
        (EraseReplace, {"replace_probability": -1.0}, "replace_probability must be between 0 and 1"),
        (EraseReplace, {"vocabulary_size": -1}, "vocabulary_size must be 0"),
    ],
)
def test_parameters_out_of_range_are_refused(entry: type, parameters: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        entry(**parameters)


def test_erase_replace_without_a_vocabulary_says_what_to_give(generator: torch.Generator) -> None:
    with pytest.raises(ValueError, match="give vocabulary_size=N"):
        EraseReplace()(torch.ones(1, 3, dtype=torch.long), generator=generator)
