"""Commands run in this process or in one of their own, and what they wrote."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from hanse.cli.running import run

__all__ = ["HANSE", "Invoke", "Outcome", "environment", "invoker", "start"]

HANSE = (sys.executable, "-m", "hanse.cli")


@dataclass(frozen=True)
class Outcome:
    code: int
    stdout: bytes
    stderr: str

    @property
    def text(self) -> str:
        return self.stdout.decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        """Stdout as JSON lines; every line must be one."""
        assert self.stdout.endswith(b"\n") or not self.stdout
        return [json.loads(line) for line in self.stdout.splitlines()]


Invoke = Callable[..., Outcome]


def invoker(capture: pytest.CaptureFixture[bytes], patch: pytest.MonkeyPatch, folder: Path) -> Invoke:
    """Runs commands in this process, in ``folder``, without the caller's settings."""
    patch.chdir(folder)
    for name in ("HANSE_WORKSPACE", "HANSE_DEBUG"):
        patch.delenv(name, raising=False)

    def invoke(*arguments: str | Path, stdin: bytes = b"") -> Outcome:
        patch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capture.readouterr()
        code = run([str(argument) for argument in arguments])
        out, err = capture.readouterr()
        return Outcome(code, out, err.decode())

    return invoke


def environment(**more: str) -> dict[str, str]:
    """This process's environment without Hanse's settings."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("HANSE_")}
    return {**inherited, **more}


def start(arguments: Sequence[str | Path], folder: Path, **more: Any) -> subprocess.Popen[bytes]:
    """A command in a process of its own."""
    command = [*HANSE, *(str(argument) for argument in arguments)]
    given = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.Popen(command, cwd=folder, env=environment(), **given)
