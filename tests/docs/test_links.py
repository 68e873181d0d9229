"""Links between pages resolve, and so do the names of files and make targets."""

from __future__ import annotations

import re

import pytest
from pages import DOCUMENTS, ROOT, Page

every_page = pytest.mark.parametrize("name", DOCUMENTS)

NOT_PAGES = (
    ".venv",
    ".venv-bench",
    ".pytest_cache",
    ".git",
    "build",
    "dist",
    "requirements",
    "benchmarks",
    "node_modules",
)
"""Folders whose Markdown is not documentation of ours."""

GENERATED = ("docs/benchmarks.md",)
"""Pages that `make bench` writes; they need not be there, but when they are, the README links them."""


def test_every_page_is_listed() -> None:
    found = {
        path.relative_to(ROOT).as_posix()
        for path in ROOT.rglob("*.md")
        if not set(path.relative_to(ROOT).parts) & set(NOT_PAGES)
    }
    assert found - set(GENERATED) == set(DOCUMENTS)


@every_page
def test_links_resolve(name: str) -> None:
    page = Page(name)
    broken = []
    for link in page.links():
        if re.match(r"https?:", link):
            continue
        target, _, fragment = link.partition("#")
        path = (page.path.parent / target).resolve() if target else page.path
        if not path.exists() or (fragment and fragment not in Page(path.relative_to(ROOT).as_posix()).anchors()):
            broken.append(link)
    assert broken == []


@every_page
def test_every_block_names_its_language(name: str) -> None:
    known = {"console", "sh", "sql", "python", "text", "toml", "json"}
    assert {(b.language, b.line) for b in Page(name).blocks() if b.language not in known} == set()


@every_page
def test_make_targets_exist(name: str) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    text = Page(name).text
    named = set(re.findall(r"`make ([a-z]+)", text))
    for block in Page(name).blocks("sh", "console"):
        named |= set(re.findall(r"^(?:\$ )?make ([a-z]+)", block.text, re.MULTILINE))
    assert named - targets == set()


def test_the_readme_names_every_page() -> None:
    linked = {link.partition("#")[0] for link in Page("README.md").links()}
    generated = {page for page in GENERATED if (ROOT / page).exists()}
    assert ({*DOCUMENTS} | generated) - {"README.md"} - linked == set()


@every_page
def test_words_of_the_field(name: str) -> None:
    """The project's words: silo, centroid, anomaly ...; not the ones beside them."""
    prose = re.sub(r"`[^`]*`", "", Page(name).prose())
    prose = re.sub(r"\]\([^)]*\)", "]", prose)
    others = (
        r"\bcenters?\b",
        r"\bcentres? of (?:the|a) cluster",
        r"\boutliers?\b",
        r"\bsimply\b",
        r"\beasily\b",
        r"\bseamless",
    )
    found = [match.group(0) for word in others for match in re.finditer(word, prose, re.IGNORECASE)]
    assert found == []
