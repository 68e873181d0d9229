"""A real silo that stops at one task until it is told to go on: held_silo.py SILO_TOML WHEN KIND NUMBER.

WHEN is ``before`` (nothing has happened yet), ``during`` (the data are read, nothing is decided) or ``after`` (the
answer is in the ledger, and has not been sent). NUMBER counts a run's tasks of that kind from 0.
"""

from __future__ import annotations

import sys
import threading
from typing import Any

from hanse.cli.silo import app
from hanse.federation.silo import Silo
from hanse.messages import Reply, Task

WHEN, KIND, NUMBER = sys.argv[2], sys.argv[3], int(sys.argv[4])
ROUNDS: dict[str, list[int]] = {}
ONCE = threading.Lock()


def hold(task: Task) -> None:
    """Say that the task is here, and wait for a line."""
    with ONCE:
        rounds = ROUNDS.setdefault(task.run, [])
        if task.kind != KIND or task.round in rounds:
            return
        rounds.append(task.round)
        if len(rounds) == NUMBER + 1:
            print("held", flush=True)
            sys.stdin.readline()


answer, release = Silo.answer, Silo._release


def held_answer(self: Silo, task: Task, *, coordinator: str) -> Reply:
    if WHEN == "before":
        hold(task)
    reply = answer(self, task, coordinator=coordinator)
    if WHEN == "after":
        hold(task)
    return reply


def held_release(self: Silo, task: Task, *rest: Any) -> Reply:
    if WHEN == "during":
        hold(task)
    return release(self, task, *rest)


Silo.answer = held_answer  # type: ignore[method-assign]  # the one place where a test can stop a real silo
Silo._release = held_release  # type: ignore[method-assign]  # the same

if __name__ == "__main__":
    app(args=["serve", "--config", sys.argv[1]], standalone_mode=False)()
