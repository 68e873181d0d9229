"""The story's scripts: found, in order, and made of statements that Hanse parses."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hanse import demo
from hanse.demo import scripts
from hanse.errors import WorkspaceError
from hanse.sql.parser import parse

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_the_story_is_the_example_in_order() -> None:
    assert demo.story() == tuple(sorted((EXAMPLES / "fitfashionmart").glob("*.sql")))
    assert [path.name[:2] for path in demo.story()] == [f"{n:02d}" for n in range(1, 10)]


def test_an_installed_package_brings_its_own_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "site-packages" / "hanse" / "demo"
    shutil.copytree(EXAMPLES / "fitfashionmart", package / "story")
    monkeypatch.setattr(scripts, "__file__", str(package / "scripts.py"))
    assert [path.name for path in demo.story()] == [
        path.name for path in sorted((EXAMPLES / "fitfashionmart").glob("*.sql"))
    ]
    assert all(path.parent == package / "story" for path in demo.story())


def test_a_broken_installation_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scripts, "__file__", str(tmp_path / "a" / "b" / "c" / "scripts.py"))
    with pytest.raises(WorkspaceError, match="reinstall hanse"):
        demo.story()


@pytest.mark.parametrize("path", sorted(EXAMPLES.rglob("*.sql")), ids=lambda path: path.name)
def test_every_statement_parses(path: Path) -> None:
    assert parse(path.read_text(encoding="utf-8"))


def test_the_story_trains_evaluates_and_prints() -> None:
    kinds = [statement.kind for path in demo.story() for statement in parse(path.read_text(encoding="utf-8"))]
    assert kinds.count("create_model") == 3
    assert kinds.count("select") == 11
    assert set(kinds) == {"create_model", "create_table", "select"}


def test_the_tables_go_by_the_names_that_the_demo_loads() -> None:
    text = "".join(path.read_text(encoding="utf-8") for path in demo.story())
    assert f"FROM {demo.EVENTS_TABLE}" in text
    assert f"JOIN {demo.PLANTED_TABLE}" in text
    for store in demo.STORES:
        assert f"'{store.store_id}'" in text
