"""Networks of torchvision and timm by their names there, without their classifiers."""

import difflib
import inspect
import math
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from models.encoders import weights as pretrained
from models.encoders.encoder import ENCODERS
from models.encoders.resnet import Stem, keep_size, stem_for
from models.registry import UnknownName

IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Mean and standard deviation of the images that torchvision's networks were trained on."""

RESIDUAL = ("resnet", "resnext", "wide_resnet")

Options = dict[str, Any]


def _stem(size: Sequence[int], parameters: Mapping[str, Any]) -> Stem:
    """As for our ResNets, but pretrained networks and other kinds keep their own."""
    is_resnet = parameters["name"].removeprefix("torchvision:").startswith(RESIDUAL)
    return stem_for(size, parameters) if is_resnet and parameters["weights"] is None else "imagenet"


@ENCODERS.family("torchvision", modality="image", files=("weights",), by_size={"stem": _stem})
def of_torchvision(
    model: str,
    *,
    weights: str | None = None,
    stem: Stem = "auto",
    options: Options | None = None,
    input_size: tuple[int, int] = (224, 224),
) -> nn.Module:
    """A classification network of torchvision, such as torchvision:convnext_tiny or torchvision:vit_b_16.

    `weights`: a local file of its weights; the network then gets images normalised as ImageNet's. `stem`: of a ResNet,
    see `models.encoders.resnet`. `options`: further arguments of its builder, such as {stochastic_depth_prob: 0.1}. A
    vision transformer is made for the size of the images.
    """
    from torchvision import models  # seconds to import

    _check_name("torchvision", model, models.list_models(module=models))
    by_size: dict[str, Options] = {"vit_": {"image_size": input_size[0]}, "maxvit": {"input_size": input_size}}
    sized = next((given for start, given in by_size.items() if model.startswith(start)), {})
    if model.startswith("vit_"):
        _check_patches(int(model.rpartition("_")[2]), input_size, "take timm:vit_… with encoder.patch_size={divisor}")
    _check_options(model, models.get_model_builder(model), options or {})
    net = models.get_model(model, weights=None, **sized, **(options or {}))
    stem = _stem(input_size, {"name": model, "weights": weights}) if stem == "auto" else stem
    if stem == "cifar":
        if not model.startswith(RESIDUAL):
            raise ValueError(f"stem=cifar is for ResNets, and torchvision:{model} is none; leave stem out")
        keep_size(net)
    classifier = _drop_classifier(model, net)
    if weights is None:
        return net
    pretrained.load(net, weights, without=[f"{classifier}."], convert=lambda state: _positions(net, state))
    return pretrained.Renormalised(net, *IMAGENET)


def _drop_classifier(model: str, net: nn.Module) -> str:
    """Replace the last linear layer by nothing; its name."""
    linear = [name for name, layer in net.named_modules() if isinstance(layer, nn.Linear)]
    if not linear:
        raise ValueError(f"torchvision:{model} ends in no linear layer; choose another network")
    parent, _, name = linear[-1].rpartition(".")
    setattr(net.get_submodule(parent), name, nn.Identity())
    return linear[-1]


def _positions(net: Any, state: pretrained.State) -> pretrained.State:
    """A vision transformer's position embeddings, interpolated to its size."""
    if "encoder.pos_embedding" not in state or not hasattr(net, "image_size"):
        return state
    from torchvision.models.vision_transformer import interpolate_embeddings

    return interpolate_embeddings(net.image_size, net.patch_size, dict(state))


@ENCODERS.family("timm", modality="image", files=("weights",))
def of_timm(
    model: str,
    *,
    weights: str | None = None,
    patch_size: int | None = None,
    options: Options | None = None,
    input_size: tuple[int, int] = (224, 224),
) -> nn.Module:
    """A network of timm, such as timm:vit_tiny_patch16_224 (needs the package timm).

    `weights`: a local file of its weights; the network then gets images normalised as timm says of it. `patch_size`: of
    a vision transformer, in pixels. `options`: further arguments of its builder, such as {drop_path_rate: 0.1}. A
    network of a fixed image size is made for the size of the images.
    """
    try:
        import timm  # seconds to import
    except ImportError:
        raise ValueError(f"timm:{model} needs the package timm; pip install timm") from None
    _check_name("timm", model.partition(".")[0], timm.list_models())
    config = timm.get_pretrained_cfg(model, allow_unregistered=True)
    given = dict(options or {})
    if config is not None and config.fixed_input_size:
        given.setdefault("img_size", tuple(input_size))
    if patch_size is not None:
        given["patch_size"] = patch_size
    net = timm.create_model(model, num_classes=0, **given)
    patch = getattr(getattr(net, "patch_embed", None), "patch_size", None)
    if patch is not None and hasattr(net, "blocks"):
        _check_patches(patch if isinstance(patch, int) else patch[0], input_size, "set encoder.patch_size={divisor}")
    if weights is None:
        return net
    source = config or net.pretrained_cfg
    fit = getattr(sys.modules[type(net).__module__], "checkpoint_filter_fn", None)
    classifier = [source.classifier] if isinstance(source.classifier, str) else source.classifier or ()
    pretrained.load(
        net, weights, without=[f"{name}." for name in classifier], convert=fit and (lambda state: fit(dict(state), net))
    )
    return pretrained.Renormalised(net, source.mean, source.std)


def _check_name(library: str, model: str, known: Sequence[str]) -> None:
    if model not in known:
        near = difflib.get_close_matches(model, known, n=3, cutoff=0.5)
        hint = f"; near it are {', '.join(near)}" if near else ""
        raise ValueError(f"{library} has no network {model!r}{hint}; {library}'s own list_models() names all")


def _check_options(model: str, build: Callable[..., nn.Module], options: Options) -> None:
    """Refuse options that no argument takes: some classes of torchvision take any, and pass over them.

    Arguments are those of the class that the builder says it returns, and of the functions beside the builder that it
    hands its own to.
    """
    beside = vars(sys.modules[build.__module__]).values()
    helpers = [f for f in beside if inspect.isfunction(f) and f.__module__ == build.__module__ and f.__name__[0] == "_"]
    takers = [inspect.signature(build, eval_str=True).return_annotation, *helpers]
    parameters = [p for taker in takers for p in inspect.signature(taker).parameters.values()]
    known = {p.name for p in parameters if p.kind != p.VAR_KEYWORD} - {"weights", "progress"}
    for name in options:
        if name not in known:
            raise UnknownName(f"option of torchvision:{model}", name, list(known))


def _check_patches(patch: int, size: Sequence[int], advice: str) -> None:
    """Refuse patches that do not tile the images, or leave fewer than 2×2 of them."""
    if all(side % patch == 0 and side >= 2 * patch for side in size):
        return
    common = math.gcd(*size)
    tiling = [d for d in range(2, common // 2 + 1) if common % d == 0]
    divisor = min(tiling, key=lambda d: abs(d - common / 8), default=1)
    raise ValueError(
        f"patches of {patch} pixels do not tile {'×'.join(map(str, size))} images in 2×2 or more; "
        f"{advice.format(divisor=divisor)}, or set data.image_size to a multiple of {patch}"
    )
