"""Markdown as the tests read it: fenced blocks, sections, tables and links of the documentation."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

DOCUMENTS = (
    "README.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "CHANGELOG.md",
    "docs/tutorial.md",
    "docs/sql.md",
    "docs/functions.md",
    "docs/models.md",
    "docs/anomalies.md",
    "docs/cli.md",
    "docs/report.md",
    "docs/federation.md",
    "docs/spark.md",
    "examples/federation/README.md",
    "examples/fitfashionmart/README.md",
    "examples/online_retail/README.md",
)
"""Every page; ``test_every_page_is_listed`` finds those that are missing here."""

_FENCE = re.compile(r"^( *)```(\S*) *(.*)$")
_HEADING = re.compile(r"^(#+) +(.*)$")


@dataclass(frozen=True)
class Block:
    """A fenced block.

    Args:
        language: the first word after the fence.
        info: what follows it, such as ``file=train.sql``.
        text: without the fences, ending in a line break.
        line: of the opening fence.
    """

    language: str
    info: dict[str, str]
    text: str
    line: int


@dataclass(frozen=True)
class Page:
    """One document."""

    name: str

    @property
    def path(self) -> Path:
        """Where it stands."""
        return ROOT / self.name

    @property
    def text(self) -> str:
        """The whole page."""
        return self.path.read_text(encoding="utf-8")

    def blocks(self, *languages: str) -> Iterator[Block]:
        """Its fenced blocks, of these languages or all."""
        opened: tuple[int, str, str, str] | None = None
        held: list[str] = []
        for number, line in enumerate(self.text.splitlines(), 1):
            fence = _FENCE.match(line)
            if opened is None and fence:
                opened, held = (number, fence[1], fence[2], fence[3]), []
            elif opened is not None and line.strip() == "```":
                start, _, language, info = opened
                pairs = dict(item.partition("=")[::2] for item in info.split())
                if not languages or language in languages:
                    yield Block(language, pairs, "".join(f"{text}\n" for text in held), start)
                opened = None
            elif opened is not None:
                held.append(line.removeprefix(opened[1]))
        assert opened is None, f"{self.name}: the block at line {opened[0]} never ends" if opened else ""

    def prose(self) -> str:
        """The page without its fenced blocks; lines keep their numbers."""
        inside = False
        lines = []
        for line in self.text.splitlines():
            fence = line.lstrip().startswith("```")
            lines.append("" if inside or fence else line)
            inside ^= fence
        return "\n".join(lines)

    def section(self, heading: str) -> str:
        """What stands below a heading, up to the next one of its level or above."""
        lines = self.text.splitlines()
        start, level = next(
            (i, len(found[1]))
            for i, line in enumerate(lines)
            if (found := _HEADING.match(line)) and found[2].strip("`") == heading
        )
        end = next(
            (
                i
                for i, line in enumerate(lines)
                if i > start and (found := _HEADING.match(line)) and len(found[1]) <= level
            ),
            len(lines),
        )
        return "\n".join(lines[start + 1 : end])

    def anchors(self) -> set[str]:
        """What ``#fragment`` may say: headings as GitHub turns them into anchors."""
        found = set()
        for line in self.prose().splitlines():
            if heading := _HEADING.match(line):
                words = re.sub(r"[^\w\- ]", "", re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading[2]).lower())
                found.add(words.strip().replace(" ", "-"))
        return found

    def links(self) -> list[str]:
        """The targets of its links and pictures."""
        prose = re.sub(r"`[^`\n]*`", "", self.prose())
        return re.findall(r"\]\(([^)\s]+)\)", prose)
