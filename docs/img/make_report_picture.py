"""Draws the README's picture of a report: parts of what ``hanse demo`` writes, as a browser shows them.

.venv/bin/python docs/img/make_report_picture.py
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

PICTURE = Path(__file__).with_name("report.png")
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SIZE = {"width": 1040, "height": 900}
LEFT_OUT = (
    "nav, .meta, .scroll, details, #part1 > .card:nth-of-type(1), #part1 > .card:nth-of-type(2), #part2, #made, footer"
)
LAST = "#part1-map"
"""What the picture ends with."""


def demo_report(folder: Path) -> Path:
    """The report that the demo writes, with the program of this environment."""
    command = [sys.executable, "-m", "hanse.cli", "demo", "--workspace", "hanse-demo"]
    subprocess.run(command, cwd=folder, capture_output=True, check=True)
    return folder / "hanse-demo" / "report.html"


def main() -> None:
    """Run the demo and write the picture."""
    program = next((found for name in BROWSERS if (found := shutil.which(name))), None)
    if program is None:
        sys.exit(f"none of {', '.join(BROWSERS)} is installed")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport=SIZE, color_scheme="light", bypass_csp=True)
        page.goto(demo_report(Path(folder)).as_uri())
        page.add_style_tag(content=f"{LEFT_OUT}, {LAST} ~ * {{ display: none !important; }}")
        page.screenshot(path=PICTURE, full_page=True)
        browser.close()


if __name__ == "__main__":
    main()
