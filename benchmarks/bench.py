"""What every measurement is given: where to work, how large, and whom to tell; and how contenders take turns."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.processes import Outcome, TooSlowError, run

__all__ = ["LIMIT_S", "Bench", "Contender", "Contest"]

LIMIT_S = 300.0
"""A contender that takes longer than this at a size is left out there."""

Contender = tuple[Callable[..., dict[str, Any]], Mapping[str, Any]]


@dataclass(frozen=True)
class Contest:
    """What contenders did, and who was left out.

    Args:
        outcomes: of each contender's runs; at least one.
        left_out: why a contender has none, by name.
        too_slow: who of those was left out for the time that it takes.
    """

    outcomes: dict[str, list[Outcome]]
    left_out: dict[str, str]
    too_slow: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Bench:
    """A run of the benchmarks.

    Args:
        folder: for data and workspaces; removed at the end.
        quick: small sizes and few runs, to see that everything works.
        online_retail: the UCI Online Retail data as Parquet, if it is there.
        most: events or rows; contests of more are left out.
        kept: contests that more than one measurement shows.
    """

    folder: Path
    quick: bool
    online_retail: Path | None
    most: int | None = None
    kept: dict[object, Contest] = field(default_factory=dict)
    started: float = field(default_factory=time.perf_counter)

    def small_enough(self, sizes: Sequence[int]) -> tuple[int, ...]:
        """The sizes that are to be measured."""
        return tuple(size for size in sizes if self.most is None or size <= self.most)

    def too_large(self, sizes: Sequence[int], unit: str) -> Iterator[str]:
        """What the page says of the others."""
        yield from (f"{n:,} {unit} were not measured this time." for n in sizes if n not in self.small_enough(sizes))

    def say(self, text: str) -> None:
        """Tell the person who waits."""
        print(f"[{time.perf_counter() - self.started:6.1f} s] {text}", flush=True)

    def run(self, contender: Callable[..., dict[str, Any]], **arguments: Any) -> Outcome:
        """Run a contender in a process of its own."""
        return run(contender, **arguments)

    def interleaved(
        self,
        contenders: Mapping[str, Contender],
        runs: int,
        *,
        patience_s: float = math.inf,
        limit_s: float = LIMIT_S,
        seeded: bool = False,
    ) -> Contest:
        """Run contenders in turn, each in a fresh process every time, so that a busy moment hits all alike.

        One that fails, or takes longer than its limit, is left out, with the reason.

        Args:
            contenders: by name, with their arguments.
            runs: of each, at most.
            patience_s: whose runs have taken this long in all is not run again.
            limit_s: of one run.
            seeded: whether each also gets the number of the run as ``seed``.
        """
        outcomes: dict[str, list[Outcome]] = {name: [] for name in contenders}
        left_out: dict[str, str] = {}
        too_slow = set()
        for number in range(runs):
            for name, (contender, arguments) in contenders.items():
                had = outcomes[name]
                if name in left_out or (had and sum(o.wall_s for o in had) >= patience_s):
                    continue
                more = {"seed": number} if seeded else {}
                try:
                    had.append(run(contender, limit_s, **arguments, **more))
                except RuntimeError as error:
                    left_out[name] = str(error).strip().splitlines()[-1]
                    if isinstance(error, TooSlowError):
                        too_slow.add(name)
                    self.say(f"{name} is left out: {error}")
        ended = {name: found for name, found in outcomes.items() if name not in left_out}
        return Contest(ended, left_out, frozenset(too_slow))
