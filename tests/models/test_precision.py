import pytest
import torch

from models import precision


@pytest.mark.parametrize(
    ("avx512_bf16", "amx", "expected"),
    [(False, False, "float32"), (True, False, "bfloat16"), (False, True, "bfloat16")],
)
def test_auto_follows_the_cpu(avx512_bf16: bool, amx: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)
    assert precision.resolve("auto", "cpu") == expected


@pytest.mark.parametrize(("supported", "expected"), [(True, "bfloat16"), (False, "float32")])
def test_auto_follows_the_gpu(supported: bool, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: supported or including_emulation)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 0) if supported else (6, 0))
    assert precision.resolve("auto", torch.device("cuda", 0)) == expected


def test_what_is_asked_for_is_given_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: True)
    assert precision.resolve("float32", "cpu") == "float32"
    assert precision.resolve("bfloat16", "cpu") == "bfloat16"


def test_bfloat16_that_would_be_emulated_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precision, "has_bfloat16", lambda device: False)
    with pytest.raises(ValueError, match="'cpu' here would only emulate it, slowly; give precision='auto'"):
        precision.resolve("bfloat16", "cpu")


def test_unknown_precision_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="unknown precision 'bf16'; did you mean 'bfloat16'"):
        precision.resolve("bf16", "cpu")


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_autocast_computes_products_in_that_precision(name: str) -> None:
    x = torch.randn(3, 3)
    with precision.autocast(name, "cpu"):
        assert (x @ x).dtype == getattr(torch, name)
    assert (x @ x).dtype == torch.float32
