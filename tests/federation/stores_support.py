"""Three stores, each with a database and processes of its own, and the same stores again within the test's process."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from federation_support import HERE, WAIT_S, Broker, Lines, free_port, until

import hanse

__all__ = ["MARKER", "OPTIONS", "SIZES", "Hanse", "League", "centroids", "journalled", "model", "silos"]

SIZES = {"north": 300, "south": 200, "west": 120}
MARKER = "marked-customer"
MAIN = "from hanse.cli import main; main()"
OPTIONS = "MODEL_TYPE = 'bisecting_kmeans', NUM_CLUSTERS = 3"

_PUBLISH = """
[publish.customer_features]
relation = "customer_features"
customer = "customer_id"
columns = ["spend", "orders"]

[policy]
strategies = ["one_shot", "rounds"]
exact_rounds = true
install = "auto"
runs_per_day = 100
"""


class Hanse:
    """``hanse`` in a process of its own."""

    def __init__(self, *arguments: str, program: tuple[str, ...] = ("-c", MAIN)) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(HERE.parents[1] / "src"), "COLUMNS": "200"},
        )
        self.out = Lines(self.process.stdout)
        self.log = Lines(self.process.stderr)

    def ended(self) -> int:
        """Its exit code."""
        code = self.process.wait(WAIT_S)
        self._close()
        return code

    def kill(self) -> None:
        """End it as ``kill -9`` does."""
        self.process.kill()
        self.process.wait()
        self._close()

    def go(self) -> None:
        """Let a held silo go on."""
        assert self.process.stdin is not None
        self.process.stdin.write("go\n")
        self.process.stdin.flush()

    def _close(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()


class League:
    """A federation made by ``hanse federation init``, its stores filled, its broker running with all it can log.

    Args:
        folder: a new one.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.coordinator = folder / "league" / "coordinator.toml"
        port = str(free_port())
        made = Hanse("federation", "init", str(folder / "league"), "--silos", ",".join(SIZES), "--port", port)
        assert made.ended() == 0, made.log.text
        self.rows = {name: _rows(number, size) for number, (name, size) in enumerate(SIZES.items())}
        for name in SIZES:
            _fill(folder / "league" / name / f"{name}.duckdb", name, self.rows[name])
            with self.config(name).open("a") as file:
                file.write(_PUBLISH)
            (folder / "twin" / name).mkdir(parents=True)
            for part in (f"{name}.duckdb", "silo.toml"):
                shutil.copy(folder / "league" / name / part, folder / "twin" / name / part)
        self.broker = Broker(folder / "league" / "broker" / "nats.conf", "-DV").start()

    def config(self, name: str) -> Path:
        return self.folder / "league" / name / "silo.toml"

    def serve(self, name: str) -> Hanse:
        """``hanse silo serve``."""
        return Hanse("silo", "serve", "--config", str(self.config(name)))

    def held(self, name: str, when: str, kind: str, number: int = 0) -> Hanse:
        """A silo that stops at a task; see held_silo.py."""
        return Hanse(str(self.config(name)), when, kind, str(number), program=(str(HERE / "held_silo.py"),))

    def run(self, workspace: Path, script: str, held: str = "") -> Hanse:
        """``hanse run`` of a script; it may stop at a point of its training, see held_coordinator.py."""
        file = workspace.with_suffix(".sql")
        file.write_text(script)
        arguments = ("run", str(file), "--federation", str(self.coordinator), "-w", str(workspace), "--rows", "0")
        return Hanse(*arguments, program=(str(HERE / "held_coordinator.py"), held)) if held else Hanse(*arguments)

    def twin(self, name: str) -> str:
        """CREATE SILO of the same store within this process."""
        folder = self.folder / "twin" / name
        return f"CREATE SILO {name} OPTIONS (database = '{folder / name}.duckdb', config = '{folder / 'silo.toml'}');"


def _rows(seed: int, size: int) -> np.ndarray[Any, Any]:
    random = np.random.default_rng(seed)
    parts = [((10, 2), (2, 1), size), ((40, 8), (3, 1), size // 2), ((15, 20), (2, 2), size // 4)]
    return np.concatenate([random.normal(center, spread, (count, 2)) for center, spread, count in parts])


def _fill(path: Path, name: str, rows: np.ndarray[Any, Any]) -> None:
    ids = [f"{MARKER}-{name}-{number}" for number in range(len(rows))]
    with duckdb.connect(str(path)) as connection:
        connection.register("given", pa.table({"customer_id": ids, "spend": rows[:, 0], "orders": rows[:, 1]}))
        connection.execute("CREATE TABLE customer_features AS SELECT * FROM given")


def silos() -> str:
    """CREATE SILO for each store over the broker."""
    return "".join(f"CREATE SILO {name} OPTIONS (subject = '{name}');\n" for name in SIZES)


def model(name: str, more: str = "TIMEOUT = 60") -> str:
    """CREATE FEDERATED MODEL over all stores."""
    return (
        f"CREATE FEDERATED MODEL {name} TRANSFORM (vector_assembler(array(spend, orders)) f, "
        f"standard_scaler(f, true, true) z) OPTIONS ({OPTIONS}, {more}) OVER SILOS ({', '.join(SIZES)}) AS "
        "SELECT spend, orders FROM customer_features;\n"
    )


def centroids(session: hanse.Session, name: str) -> list[tuple[Any, ...]]:
    return session.sql(f"SELECT * FROM model_centroids({name}, 1) ORDER BY prediction").fetchall()


def journalled(workspace: Path, kind: str, *names: str) -> None:
    """Wait until the coordinator has written down the replies of some silos."""

    def there() -> bool:
        """In the file beside the registry, where they stand while the training goes on."""
        for path in workspace.glob("*.replies"):
            lines = [json.loads(line) for line in path.read_text().splitlines(keepends=True) if line.endswith("\n")]
            if {line["silo"] for line in lines if line["kind"] == kind} >= set(names):
                return True
        return False

    until(there)
