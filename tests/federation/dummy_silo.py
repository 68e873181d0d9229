"""A silo in a process of its own, with an agent that only echoes: dummy_silo.py SILO_TOML MODE."""

from __future__ import annotations

import sys
import threading
import tomllib
from pathlib import Path

from hanse.messages import Reply, Task, task_hash
from hanse.transports.nats import serve
from hanse.transports.settings import ConnectionSettings


def answer(task: Task, coordinator: str) -> Reply:
    print(f"task {task.round}", flush=True)
    if sys.argv[2] == "ask":
        sys.stdin.readline()
    return Reply(
        run=task.run,
        round=task.round,
        silo=task.silo,
        task_hash=task_hash(task),
        status="ok",
        facts={"payload": task.payload},
    )


def main() -> None:
    path = Path(sys.argv[1])
    table = tomllib.loads(path.read_text())["federation"]
    settings = ConnectionSettings.from_table(table, path.parent)
    serve(settings, answer, stop=threading.Event(), ready=lambda: print("ready", flush=True))


if __name__ == "__main__":
    main()
