"""The examples in the code's docstrings and in the pages' Python blocks run."""

from __future__ import annotations

import doctest
import importlib
from pathlib import Path

import pytest
from pages import DOCUMENTS, Page

import hanse

RUNS_ON_IMPORT = ("hanse.cli.__main__",)
"""Modules that do their work when they are imported."""

FLAGS = doctest.ELLIPSIS


def _modules() -> dict[str, Path]:
    """Every module's file by its name."""
    package = Path(str(hanse.__file__)).parent
    found = {"hanse": package / "__init__.py"}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return {name: path for name, path in found.items() if name not in RUNS_ON_IMPORT}


WITH_EXAMPLES = [name for name, path in _modules().items() if ">>> " in path.read_text(encoding="utf-8")]
PAGES = [name for name in DOCUMENTS if list(Page(name).blocks("python"))]


def test_there_are_modules_and_examples() -> None:
    assert len(_modules()) > 60
    assert len(WITH_EXAMPLES) > 10


@pytest.mark.parametrize("name", _modules())
def test_every_module_can_be_imported(name: str) -> None:
    assert importlib.import_module(name).__doc__


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_in_docstrings(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    failed, tried = doctest.testmod(importlib.import_module(name), optionflags=FLAGS)
    assert tried > 0
    assert failed == 0


@pytest.mark.parametrize("name", PAGES)
def test_examples_in_pages(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Pages whose Python needs files that the page makes are run as a whole by ``test_commands.py``."""
    from test_commands import RUN_AS_A_WHOLE

    if name in RUN_AS_A_WHOLE:
        return
    monkeypatch.chdir(tmp_path)
    parser, runner, scope = doctest.DocTestParser(), doctest.DocTestRunner(optionflags=FLAGS), {"__name__": "page"}
    for block in Page(name).blocks("python"):
        test = parser.get_doctest(block.text, scope, f"{name}:{block.line}", name, block.line)
        assert test.examples, f"{name}, line {block.line}: a Python block without >>>"
        result = runner.run(test, clear_globs=False)
        scope = test.globs
        assert result.failed == 0, f"{name}, line {block.line}"
