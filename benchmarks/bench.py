"""What every measurement is given: where to work, how large, and whom to tell."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from benchmarks.processes import Outcome, run

__all__ = ["Bench", "missing_spark"]

Contender = tuple[Callable[..., dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Bench:
    """A run of the benchmarks.

    Args:
        folder: for data and workspaces; removed at the end.
        quick: small sizes and few runs, to see that everything works.
        online_retail: the UCI Online Retail data as Parquet, if it is there.
    """

    folder: Path
    quick: bool
    online_retail: Path | None
    started: float = field(default_factory=time.perf_counter)

    def say(self, text: str) -> None:
        """Tell the person who waits."""
        print(f"[{time.perf_counter() - self.started:6.1f} s] {text}", flush=True)

    def run(self, contender: Callable[..., dict[str, Any]], **arguments: Any) -> Outcome:
        """Run a contender in a process of its own."""
        return run(contender, **arguments)

    def interleaved(
        self, contenders: Mapping[str, Contender], runs: int | Mapping[str, int], seeded: bool = False
    ) -> dict[str, list[Outcome]]:
        """Run contenders in turn, each in a fresh process every time, so that a busy moment hits all alike.

        Args:
            contenders: by name, with their arguments.
            runs: of each, or of each by name.
            seeded: whether each also gets the number of the run as ``seed``.
        """
        wanted = runs if isinstance(runs, Mapping) else dict.fromkeys(contenders, runs)
        outcomes: dict[str, list[Outcome]] = {name: [] for name in contenders}
        for number in range(max(wanted.values())):
            for name, (contender, arguments) in contenders.items():
                if number < wanted[name]:
                    more = {"seed": number} if seeded else {}
                    outcomes[name].append(run(contender, **arguments, **more))
        return outcomes


def missing_spark() -> str | None:
    """Why Spark cannot run here; None if it can."""
    if find_spec("pyspark") is None:
        return "pyspark is not installed"
    java = shutil.which("java")
    if java is None or subprocess.run([java, "-version"], capture_output=True, check=False).returncode:
        return "there is no Java"
    return None
