"""The page as PDF, printed by a browser that is at hand: as its reader would print it, and without another library."""

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from study.config import ConfigError

BROWSERS = (
    "chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome", "microsoft-edge", "msedge",
    "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    "/Applications/Chromium.app/Contents/MacOS/Chromium",
)  # fmt: skip
SECONDS = 300


def browser() -> str:
    """The first of `BROWSERS` that is here; ConfigError where none is."""
    for name in BROWSERS:
        if found := shutil.which(name):
            return found
    raise ConfigError(
        [
            "report: --format pdf is printed by Chromium, Chrome or Edge, and none is on PATH; install one, as with "
            "`apt install chromium`, or write --format html and print it from a browser"
        ]
    )


def print_pdf(page: Path, pdf: Path) -> None:
    """Print a page of HTML, without any network."""
    program = browser()
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "report.pdf"
        options = ["--headless", "--disable-gpu", "--no-pdf-header-footer", f"--user-data-dir={folder}/profile"]
        options += ["--no-sandbox"] * (os.name == "posix" and os.geteuid() == 0)  # as root there is no other way
        command = [program, *options, f"--print-to-pdf={made}", page.absolute().as_uri()]
        done = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS)
        if not made.exists():
            raise ConfigError([f"report: {program} printed no PDF: {done.stderr.strip()[-300:]}"])
        shutil.copyfile(made, pdf)
