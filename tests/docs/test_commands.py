"""The README and the tutorial, executed from the first command to the last, in an empty folder.

``console`` blocks hold commands after ``$`` and their output; ``...`` in an output stands for anything. ``sql`` blocks with
``file=NAME`` are saved under that name, so that later commands can run them. ``python`` blocks are doctests in the same
folder. What differs from run to run (times, identifiers) is left out of the comparison.
"""

from __future__ import annotations

import doctest
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from pages import DOCUMENTS, Block, Page

RUN_AS_A_WHOLE = ("README.md", "docs/tutorial.md")

SETUP = ("make ", "pip install", "python3 -m venv", ". .venv/bin/activate")
"""Commands that prepare an environment; the tests run in one, and only check that make's targets exist."""

VARYING = (
    (re.compile(r'"elapsed_s":[0-9.e-]+'), '"elapsed_s":0'),
    (re.compile(r"\b[0-9a-f]{32}\b"), "0" * 32),
    (re.compile(r"\b[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+\+00:00"), "2026-01-01T00:00:00+00:00"),
    (re.compile(r"Done in [0-9.]+ s"), "Done in 0.0 s"),
)


def _same(expected: str, got: str) -> bool:
    for pattern, constant in VARYING:
        expected, got = pattern.sub(constant, expected), pattern.sub(constant, got)
    expected, got = (re.sub(r"[ \t]+$", "", text, flags=re.MULTILINE) for text in (expected, got))
    return doctest.OutputChecker().check_output(expected, got, doctest.ELLIPSIS)


def commands(block: Block) -> Iterator[tuple[str, str]]:
    """A block's commands, each with the output that it shows."""
    if block.language == "sh":
        joined = re.sub(r"\\\n\s*", "", block.text)
        yield from ((line, "...\n") for line in joined.splitlines() if line and not line.startswith("#"))
        return
    for part in re.split(r"^\$ ", block.text, flags=re.MULTILINE)[1:]:
        command, _, output = re.sub(r"\\\n(?:> )?\s*", "", part).partition("\n")
        yield command, output


def _run(command: str, folder: Path) -> tuple[int, str]:
    home = os.path.dirname(sys.executable)  # noqa: PTH120  # no symbolic link may be followed out of the environment
    environment = {**os.environ, "PATH": f"{home}{os.pathsep}{os.environ['PATH']}", "COLUMNS": "200"}
    environment.pop("HANSE_WORKSPACE", None)
    done = subprocess.run(  # the documentation's own commands
        command, shell=True, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return done.returncode, done.stdout.decode()


def _step(block: Block, folder: Path, scope: dict[str, object]) -> Iterator[str]:
    """Do what a block says; yields what went wrong."""
    if block.language == "sql" and "file" in block.info:
        (folder / block.info["file"]).write_text(block.text, encoding="utf-8")
    elif block.language == "python":
        test = doctest.DocTestParser().get_doctest(block.text, scope, "page", "page", block.line)
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS, verbose=False)
        if runner.run(test, out=said.append, clear_globs=False).failed:
            yield "".join(said)
        scope.update(test.globs)
    elif block.language in ("console", "sh"):
        for command, output in commands(block):
            if command.startswith(SETUP):
                continue
            code, got = _run(command, folder)
            if code != int(block.info.get("exit", "0")):
                yield f"$ {command}\nleft with {code}:\n{got}"
            elif not _same(output, got):
                yield f"$ {command}\nshown:\n{output}\ngot:\n{got}"


@pytest.mark.parametrize("name", RUN_AS_A_WHOLE)
def test_the_page_runs(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"__name__": "page"}
    for block in Page(name).blocks():
        wrong = list(_step(block, tmp_path, scope))
        assert not wrong, f"{name}, line {block.line}: {wrong[0]}"


@pytest.mark.parametrize("name", DOCUMENTS)
def test_commands_have_the_options_that_they_use(name: str) -> None:
    """Every ``hanse`` command of every page is understood by the argument parser; nothing is run."""
    from hanse.cli.app import app

    for block in Page(name).blocks("console", "sh"):
        for command, _ in commands(block):
            words = shlex.split(command.partition(" > ")[0].partition(" | ")[0], comments=True)
            if words[:1] == ["hanse"] and not {"--help", "--version", "-h"} & set(words):
                assert callable(app(args=words[1:], prog_name="hanse", standalone_mode=False)), command
