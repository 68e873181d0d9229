"""Contenders in processes of their own: ``run`` starts one, and this file run as a program is one.

A contender is a function of a module of this package; it gets keyword arguments and gives a dictionary, both as JSON.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Outcome", "run", "run_command"]

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""

_STEERING = (
    "OPENBLAS_CORETYPE",
    "OPENBLAS_L2_SIZE",
    "OPENBLAS_NUM_THREADS",
    "OMP_NUM_THREADS",
    "MKL_NUM_THREADS",
    "PYTHONDONTWRITEBYTECODE",  # would make each process compile the sources anew, which no installed package does
)


@dataclass(frozen=True)
class Outcome:
    """What a process did.

    Args:
        wall_s: from its start to its end.
        peak_bytes: the most memory it held.
        result: what the contender gave.
    """

    wall_s: float
    peak_bytes: int
    result: dict[str, Any]


def run(contender: Callable[..., dict[str, Any]], **arguments: Any) -> Outcome:
    """Run a contender in a fresh process, whose BLAS chooses its own kernel and threads.

    Raises:
        RuntimeError: it failed; what it printed stands in the message.
    """
    with tempfile.TemporaryDirectory(prefix="hanse-contender-") as folder:
        answer = Path(folder) / "result.json"
        name = f"{contender.__module__}:{contender.__name__}"
        wall_s, peak_bytes = run_command(
            [sys.executable, "-m", "benchmarks.processes", name, json.dumps(arguments), str(answer)]
        )
        return Outcome(wall_s, peak_bytes, json.loads(answer.read_text()))


def run_command(command: Sequence[str]) -> tuple[float, int]:
    """Run a command to its end; wall seconds and the most memory it held.

    Raises:
        RuntimeError: it failed; what it printed stands in the message.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _STEERING}
    with tempfile.TemporaryFile() as printed:
        started = time.perf_counter()
        process = subprocess.Popen(command, stdout=printed, stderr=subprocess.STDOUT, cwd=ROOT, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            printed.seek(0)
            tail = printed.read().decode(errors="replace")[-4000:]
            raise RuntimeError(f"{' '.join(command[1:4])} failed with {process.returncode}:\n{tail}")
    return wall_s, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def _main(name: str, arguments: str, answer: str) -> None:
    module, function = name.split(":")
    result = getattr(import_module(module), function)(**json.loads(arguments))
    Path(answer).write_text(json.dumps(result))


if __name__ == "__main__":
    _main(*sys.argv[1:])
