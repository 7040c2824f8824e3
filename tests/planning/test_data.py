"""A plan says what data it read; files that are not there are refused before torch is imported."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from study import ConfigError, Study, TrialConfig
from study.planning.data import check_places


def folder(root: Path, *sizes: tuple[int, int]) -> dict[str, object]:
    """Two classes of four images each, in turns of these sizes, as a config's data."""
    draw = np.random.default_rng(0)
    for split in ("train", "test"):
        for name in ("first", "second"):
            (root / split / name).mkdir(parents=True)
            for i in range(4):
                pixels = draw.integers(0, 256, (*sizes[i % len(sizes)], 3), dtype=np.uint8)
                Image.fromarray(pixels).save(root / split / name / f"{i}.png")
    return {"name": "image_folder", "root": str(root)}


@pytest.mark.parametrize(
    ("sizes", "made", "pixels", "other"),
    [([(48, 60)], "smaller", "48", "48"), ([(16, 16), (20, 24)], "larger", "16 to 20", "N"), ([(32, 32)], "", "", "")],
)
def test_a_plan_says_what_data_it_read_and_at_which_size(
    tmp_path: Path, sizes: list[tuple[int, int]], made: str, pixels: str, other: str
) -> None:
    config = TrialConfig(data=folder(tmp_path / "photos", *sizes), batch_size=4)
    (told,) = re.findall("data image_folder: .*", str(Study("photos", base=config).plan(storage=tmp_path / "runs")))
    kept = "data image_folder: 2 classes, 6 training + 2 held-out + 8 test images, kept as 32 × 32"
    why = f" (made {made}: the shorter side of the files has {pixels} pixels; for another size --set data.image_size="
    assert told == (f"{kept}{why}{other})" if made else kept)


def test_a_root_that_is_not_there_is_refused_without_torch(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("name: mine\nbase: {data: {name: image_folder, root: fotos}}\n")
    script = (
        "import sys; from study.cli import main; status = main(['plan', 'mine.yaml'])\n"
        "print(status, 'torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["2", "False"], done.stderr
    assert f"data: {tmp_path}/fotos does not exist" in done.stderr


def test_data_that_a_study_varies_is_left_to_the_plan(tmp_path: Path) -> None:
    missing = {"name": "image_folder", "root": str(tmp_path / "fotos")}
    with pytest.raises(ConfigError, match="fotos does not exist"):
        check_places(Study("mine", base=TrialConfig(data=missing)))
    check_places(Study("mine", base=TrialConfig(data=missing), space={"data": {"grid": ["shapes"]}}))
