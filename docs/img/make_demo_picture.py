"""Draws the README's picture: parts of what ``hanse demo`` prints, as they are printed, in an SVG.

.venv/bin/python docs/img/make_demo_picture.py
"""

from __future__ import annotations

import io
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import DIMMED_MONOKAI
from rich.text import Text

PICTURE = Path(__file__).with_name("demo.svg")
PARTS = (("Step 4 of 9", "Step 5 of 9"), ("Call a cluster anomalous", "Done in"))
"""Where each part that is shown begins, and what follows it."""

WIDTH = 110

FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
    <style>
    .{unique_id}-matrix {{ font-family: ui-monospace, Menlo, Consolas, "DejaVu Sans Mono", monospace;
        font-size: {char_height}px; line-height: {line_height}px; font-variant-east-asian: full-width; }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""
"""Rich's own, without fonts from the network."""


def demo_output(folder: Path) -> str:
    """What the demo prints, with the program of this environment."""
    command = [sys.executable, "-m", "hanse.cli", "demo", "--workspace", "hanse-demo"]
    return subprocess.run(command, cwd=folder, capture_output=True, check=True, text=True).stdout


def shown(output: str) -> str:
    """The parts of the demo's output that the picture shows."""
    lines = ["$ hanse demo"]
    for first, after in PARTS:
        rest = output[output.index(first) : output.index(after)].rstrip().splitlines()
        lines += ["...", "", *rest, ""]
    return "\n".join(lines).rstrip()


def draw(text: str) -> str:
    """The text as a terminal in SVG; equal text gives equal bytes."""
    console = Console(record=True, width=WIDTH, file=io.StringIO(), force_terminal=True, color_system="truecolor")
    for line in [*text.splitlines(), ""]:
        bold = line.startswith(("$", "Step"))
        console.print(Text(line, style="bold" if bold else ""), no_wrap=True, crop=False)
    svg = console.export_svg(title="hanse demo", theme=DIMMED_MONOKAI, code_format=FORMAT, unique_id="hanse")
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def main() -> None:
    """Run the demo and write the picture."""
    with tempfile.TemporaryDirectory() as folder:
        PICTURE.write_text(draw(shown(demo_output(Path(folder)))), encoding="utf-8")


if __name__ == "__main__":
    main()
