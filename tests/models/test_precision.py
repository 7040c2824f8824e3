import re

import pytest
import torch

from models import precision


@pytest.fixture(autouse=True)
def hardware_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(precision.FORCE_BFLOAT16, raising=False)


def cpu_has(monkeypatch: pytest.MonkeyPatch, *, avx512_bf16: bool = False, amx: bool = False) -> None:
    monkeypatch.setattr(torch.cpu, "_is_avx512_bf16_supported", lambda: avx512_bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: amx)


def gpu_is(monkeypatch: pytest.MonkeyPatch, major: int, minor: int = 0) -> None:
    """A GPU of that compute capability; torch emulates bfloat16 on those before 8.0."""
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: including_emulation or major >= 8)
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (major, minor))


@pytest.mark.parametrize(
    ("avx512_bf16", "amx", "vendor", "expected"),
    [
        (False, False, "AuthenticAMD", "float32"),
        (False, False, "GenuineIntel", "float32"),
        (True, False, "AuthenticAMD", "bfloat16"),
        (True, False, "GenuineIntel", "float32"),
        (True, True, "GenuineIntel", "bfloat16"),
    ],
    ids=["Zen 3", "Skylake", "Zen 4", "Cooper Lake", "Sapphire Rapids"],
)
def test_auto_is_the_faster_format_of_the_cpu(
    avx512_bf16: bool, amx: bool, vendor: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_has(monkeypatch, avx512_bf16=avx512_bf16, amx=amx)
    monkeypatch.setattr(precision, "_vendor", lambda: vendor)
    assert precision.choose_precision("auto", "cpu") == expected
    if avx512_bf16:
        assert precision.choose_precision("bfloat16", "cpu") == "bfloat16"


@pytest.mark.parametrize(
    ("capability", "expected"),
    [((6, 1), "float32"), ((7, 0), "float16"), ((7, 5), "float16"), ((8, 0), "bfloat16"), ((9, 0), "bfloat16")],
    ids=["P40", "V100", "T4", "A100", "H100"],
)
def test_auto_follows_the_gpu(capability: tuple[int, int], expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_is(monkeypatch, *capability)
    assert precision.choose_precision("auto", torch.device("cuda", 0)) == expected


@pytest.mark.parametrize(("said", "expected"), [("1", "bfloat16"), ("0", "float32")])
def test_the_variable_is_believed_in_place_of_the_hardware(
    said: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cpu_has(monkeypatch, amx=said == "0")
    monkeypatch.setenv("STUDY_BFLOAT16", said)
    assert precision.choose_precision("auto", "cpu") == expected
    if said == "1":
        assert precision.choose_precision("bfloat16", "cpu") == "bfloat16"
    else:
        with pytest.raises(ValueError, match="'bfloat16' needs a CPU with AMX"):
            precision.choose_precision("bfloat16", "cpu")


def test_a_gpu_told_to_have_no_bfloat16_computes_in_float16(monkeypatch: pytest.MonkeyPatch) -> None:
    gpu_is(monkeypatch, 9)
    monkeypatch.setenv("STUDY_BFLOAT16", "0")
    assert precision.choose_precision("auto", "cuda") == "float16"


def test_another_value_of_the_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STUDY_BFLOAT16", "yes")
    with pytest.raises(ValueError, match=re.escape("STUDY_BFLOAT16 is 1 or 0, or not set")):
        precision.choose_precision("auto", "cpu")


def test_what_is_asked_for_is_given_where_the_hardware_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_has(monkeypatch, amx=True)
    assert precision.choose_precision("float32", "cpu") == "float32"
    assert precision.choose_precision("bfloat16", "cpu") == "bfloat16"


@pytest.mark.parametrize("name", ["bfloat16", "float16"])
def test_what_would_be_emulated_is_refused(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cpu_has(monkeypatch)
    with pytest.raises(ValueError, match=f"'{name}' needs .* 'cpu' here would only emulate it, slowly; give precision"):
        precision.choose_precision(name, "cpu")


def test_unknown_precision_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match="unknown precision 'bf16'; did you mean 'bfloat16'"):
        precision.choose_precision("bf16", "cpu")


@pytest.mark.parametrize("name", ["float32", "bfloat16", "float16"])
def test_autocast_computes_products_in_that_precision(name: str) -> None:
    x = torch.randn(3, 3)
    with precision.autocast(name, "cpu"):
        assert (x @ x).dtype == getattr(torch, name)
        with precision.no_autocast("cpu"):
            assert (x @ x).dtype == torch.float32
    assert (x @ x).dtype == torch.float32
