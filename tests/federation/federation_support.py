"""A real broker, silos in processes of their own, and small tasks for them."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hanse.messages import Reply, Task, task_hash
from hanse.transports.keys import Identity
from hanse.transports.settings import CoordinatorSettings

HERE = Path(__file__).resolve().parent
WAIT_S = 60.0


def nats_server() -> str:
    """The broker's program, beside this Python or on the path; the test is skipped where there is none."""
    beside = Path(sys.executable).parent / "nats-server"
    found = str(beside) if beside.is_file() else shutil.which("nats-server")
    if found is None:
        pytest.skip("nats-server is neither beside this Python nor on the path")
    return found


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


class Lines:
    """What a process writes, line by line; ``wait`` blocks until a line is there."""

    def __init__(self, stream: Any) -> None:
        self._lines: list[str] = []
        self._more = threading.Condition()
        self._ended = False
        threading.Thread(target=self._read, args=(stream,), daemon=True).start()

    def _read(self, stream: Any) -> None:
        with stream:
            for line in stream:
                with self._more:
                    self._lines.append(line.rstrip("\n"))
                    self._more.notify_all()
        with self._more:
            self._ended = True
            self._more.notify_all()

    @property
    def text(self) -> str:
        with self._more:
            return "\n".join(self._lines)

    def wait(self, part: str, count: int = 1) -> str:
        """The ``count``-th line that holds ``part``."""
        deadline = time.monotonic() + WAIT_S
        with self._more:
            while True:
                found = [line for line in self._lines if part in line]
                if len(found) >= count:
                    return found[count - 1]
                if self._ended or not self._more.wait(deadline - time.monotonic()):
                    raise AssertionError(f"no line with {part!r} in:\n" + "\n".join(self._lines))


class Broker:
    """nats-server with a configuration of :func:`hanse.federation.setup.init`."""

    def __init__(self, conf: Path, *arguments: str, cwd: Path | None = None) -> None:
        self._command = [nats_server(), "-c", str(conf), *arguments]
        self._cwd = cwd
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> Broker:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, cwd=self._cwd
        )
        self.log = Lines(self.process.stderr)
        self.log.wait("Server is ready")
        return self

    def reload(self) -> None:
        assert self.process is not None
        self.process.send_signal(signal.SIGHUP)
        self.log.wait("Reloaded server configuration")

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


class SiloProcess:
    """dummy_silo.py in a process of its own."""

    def __init__(self, config: Path, mode: str = "echo") -> None:
        environment = os.environ | {"PYTHONPATH": str(HERE.parents[1] / "src")}
        self.process = subprocess.Popen(
            [sys.executable, str(HERE / "dummy_silo.py"), str(config), mode],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.out = Lines(self.process.stdout)
        self.log = Lines(self.process.stderr)

    def ready(self) -> SiloProcess:
        self.out.wait("ready")
        return self

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()

    def proceed(self) -> None:
        """Let a silo of mode ``ask`` give its answer."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()


def task(silo: str, round_: int = 0, *, valid_s: float = WAIT_S, **fields: Any) -> Task:
    defaults: dict[str, Any] = {"run": "1f" * 16, "kind": "describe", "relation": "customer_features"}
    return Task(
        round=round_,
        silo=silo,
        nonce=secrets.token_hex(16),
        expires_at=time.time() + valid_s,
        features=("a", "b"),
        strategy="one_shot",
        **(defaults | fields),
    )


def echo(asked: Task) -> Reply:
    """An answer that says what was asked."""
    return Reply(
        run=asked.run,
        round=asked.round,
        silo=asked.silo,
        task_hash=task_hash(asked),
        status="ok",
        statistics={"count": [1.5, 2.0]},
        facts={"payload": asked.payload},
    )


class Serving:
    """``hanse.transports.nats.serve`` on a thread of this process."""

    def __init__(self, settings: Any, answer: Callable[[Task], Reply] = echo) -> None:
        from hanse.transports.nats import Diagnostics, serve

        self.lines: list[str] = []
        self.diagnostics = Diagnostics()
        self.failure: Exception | None = None
        self.answered: list[Task] = []
        self.coordinators: list[str] = []
        self._ready, self._stop = threading.Event(), threading.Event()

        def noted(asked: Task, coordinator: str) -> Reply:
            self.answered.append(asked)
            self.coordinators.append(coordinator)
            return answer(asked)

        def run() -> None:
            try:
                serve(
                    settings,
                    noted,
                    stop=self._stop,
                    ready=self._ready.set,
                    tell=self.lines.append,
                    diagnostics=self.diagnostics,
                )
            except Exception as error:  # noqa: BLE001  # handed to the test
                self.failure = error
                self._ready.set()

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def ready(self) -> Serving:
        assert self._ready.wait(WAIT_S)
        if self.failure is not None:
            raise self.failure
        return self

    def stop(self) -> None:
        self._stop.set()
        self._thread.join()


def second_coordinator(league: Path, *silos: str) -> CoordinatorSettings:
    """A coordinator with keys of its own, whom some silos answer as well; they read it when they start."""
    settings = CoordinatorSettings.load(league / "coordinator.toml")
    identity = Identity.generate()
    path = league / "coordinator" / "second.key"
    path.write_text(identity.text())
    path.chmod(0o600)
    for silo in silos:
        file = league / silo / "silo.toml"
        file.write_text(file.read_text().replace("coordinators = [", f'coordinators = ["{identity.public}", ', 1))
    return replace(settings, connection=replace(settings.connection, identity=path))


def names(replies: Sequence[Reply]) -> list[str]:
    return sorted(reply.silo for reply in replies)


def until(happened: Callable[[], bool]) -> None:
    """Wait for what another thread does."""
    deadline = time.monotonic() + WAIT_S
    while not happened():
        assert time.monotonic() < deadline, "it did not happen"
        threading.Event().wait(0.005)
