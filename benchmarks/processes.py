"""Contenders in processes of their own.

A contender is a function of a module of this package; it gets keyword arguments and gives a dictionary, both as JSON.
What its process loads beyond Python itself, :mod:`benchmarks.contender`, is next to nothing.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["ROOT", "Outcome", "run", "run_command"]

ROOT = Path(__file__).resolve().parents[1]
"""The repository."""

_CONTENDER = "from benchmarks.contender import main; main()"

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
        peak_bytes: the most memory it held, with that of a Java that it started and told about as ``java_peak_bytes``.
        result: what the contender gave.
    """

    wall_s: float
    peak_bytes: int
    result: dict[str, Any]

    @property
    def timed_s(self) -> float:
        """What the contender timed itself, as ``timed_s``; all of the process where it timed nothing."""
        return float(self.result.get("timed_s", self.wall_s))


def run(contender: Callable[..., dict[str, Any]], limit_s: float | None = None, /, **arguments: Any) -> Outcome:
    """Run a contender in a fresh process, whose BLAS chooses its own kernel and threads.

    Raises:
        RuntimeError: it failed, and what it printed stands in the message.
        TooSlowError: it was stopped after ``limit_s``.
    """
    with tempfile.TemporaryDirectory(prefix="hanse-contender-") as folder:
        answer = Path(folder) / "result.json"
        name = f"{contender.__module__}:{contender.__name__}"
        wall_s, peak_bytes = run_command(
            [sys.executable, "-c", _CONTENDER, name, json.dumps(arguments), str(answer)], limit_s
        )
        result = json.loads(answer.read_text())
        return Outcome(wall_s, peak_bytes + (result.get("java_peak_bytes") or 0), result)


class TooSlowError(RuntimeError):
    """A process that was stopped because it took too long."""


def run_command(command: Sequence[str], limit_s: float | None = None) -> tuple[float, int]:
    """Run a command to its end; wall seconds and the most memory it held.

    Raises:
        RuntimeError: it failed, and what it printed stands in the message.
        TooSlowError: it was stopped after ``limit_s``.
    """
    environment = {key: value for key, value in os.environ.items() if key not in _STEERING}
    with tempfile.TemporaryFile() as printed:
        started = time.perf_counter()
        process = subprocess.Popen(
            command, stdout=printed, stderr=subprocess.STDOUT, cwd=ROOT, env=environment, start_new_session=True
        )
        late = threading.Event()
        with _stopping(process.pid, limit_s, late):
            _, status, usage = os.wait4(process.pid, 0)
        wall_s = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        if late.is_set():
            raise TooSlowError(f"it did not end within {limit_s:g} s")
        if process.returncode == -signal.SIGKILL:
            raise RuntimeError("the system killed it: most likely there was not enough memory")
        if process.returncode:
            printed.seek(0)
            tail = printed.read().decode(errors="replace")[-4000:]
            raise RuntimeError(f"{' '.join(command[1:4])} failed with {process.returncode}:\n{tail}")
    return wall_s, usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@contextmanager
def _stopping(leader: int, limit_s: float | None, late: threading.Event) -> Iterator[None]:
    """Kill the processes of a session where the block takes too long, or is interrupted."""

    def stop() -> None:
        late.set()
        os.killpg(leader, signal.SIGKILL)

    timer = threading.Timer(limit_s if limit_s is not None else threading.TIMEOUT_MAX, stop)
    timer.daemon = True
    timer.start()
    try:
        yield
    except BaseException:
        os.killpg(leader, signal.SIGKILL)
        raise
    finally:
        timer.cancel()
