"""What a silo's owner allows to leave: the [policy] table, its floor, and what it costs in plain words."""

from __future__ import annotations

import dataclasses
import hashlib
import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final, Literal

import msgspec

from hanse.errors import UsageError, nearest
from hanse.messages import Task

__all__ = ["FLOOR_CUSTOMERS", "Install", "Policy"]

FLOOR_CUSTOMERS: Final = 3
"""No released cell ever holds fewer distinct customers than this, whatever a policy or a task says."""

Install = Literal["ask", "auto", "never"]

_STRATEGIES: Final = ("one_shot", "article", "rounds")
_INSTALLS: Final = ("ask", "auto", "never")


@dataclass(frozen=True)
class Policy:
    """What may leave a silo.

    Args:
        min_customers: distinct customers per released cell; the stricter of this and the statement's holds.
        min_changed_customers: fewer changed since an earlier release: earlier answers again, and nothing new; 0: off.
        dominance_percent: no sum of squares that is released, or judged for it, may owe more than this to one customer.
        model_types: what may be trained, evaluated and compared.
        strategies: how.
        exact_rounds: whether un-noised multi-round training is allowed.
        install: whether a global model may be put into the silo's registry.
        max_clusters: cells that a plan may have.
        runs_per_day: runs that may release something new, in any 24 hours.
        cells_per_day: cells that may be released of one published relation, in any 24 hours.
        snapshot_hours: how long the copy of an unfinished run is kept after its last task.
        ledger_days: entries that are older are pruned when the silo starts; 0 keeps all.
    """

    min_customers: int = 10
    min_changed_customers: int = 10
    dominance_percent: float = 50.0
    model_types: tuple[str, ...] = ("bisecting_kmeans", "kmeans", "gaussian_mixture", "logistic_reg")
    strategies: tuple[str, ...] = ("one_shot",)
    exact_rounds: bool = False
    install: Install = "ask"
    max_clusters: int = 16
    runs_per_day: int = 20
    cells_per_day: int = 1000
    snapshot_hours: float = 24.0
    ledger_days: int = 0

    @classmethod
    def from_table(cls, table: Mapping[str, Any], where: str) -> Policy:
        """Read the ``[policy]`` table, strictly.

        Args:
            table: of silo.toml.
            where: named in errors.

        Raises:
            UsageError: an unknown key, a value of another type or out of range.
        """
        names = [f.name for f in dataclasses.fields(cls)]
        values: dict[str, Any] = {}
        for key, value in table.items():
            if key not in names:
                raise UsageError(f"{where} {key}: unknown key: {nearest(key, names)}")
            values[key] = _CHECKS[key](value, f"{where} {key} = {value!r}")
        policy = cls(**values)
        if "rounds" in policy.strategies and not policy.exact_rounds:
            raise UsageError(
                f"{where} strategies names 'rounds', which needs exact_rounds = true beside it: read first what it "
                "costs (hanse silo policy check), or leave it out"
            )
        return policy

    @cached_property
    def hash(self) -> str:
        """SHA-256 of all that the policy says."""
        return hashlib.sha256(msgspec.json.encode(dataclasses.asdict(self), order="deterministic")).hexdigest()

    @property
    def allowed_strategies(self) -> tuple[str, ...]:
        """``rounds`` goes with ``exact_rounds``."""
        return tuple(s for s in _STRATEGIES if s in self.strategies or (s == "rounds" and self.exact_rounds))

    def min_customers_for(self, task: Task) -> int:
        """The strictest of the policy, the statement and the floor."""
        return max(self.min_customers, task.min_customers, FLOOR_CUSTOMERS)

    def public(self) -> dict[str, Any]:
        """What ``describe`` tells a coordinator."""
        return {
            "min_customers": self.min_customers,
            "min_changed_customers": self.min_changed_customers,
            "dominance_percent": self.dominance_percent,
            "strategies": list(self.allowed_strategies),
            "model_types": list(self.model_types),
            "install": self.install,
            "max_clusters": self.max_clusters,
            "runs_per_day": self.runs_per_day,
            "cells_per_day": self.cells_per_day,
        }

    def explained(self) -> Iterator[str]:
        """What this policy allows and what that costs, a sentence at a time."""
        yield (
            f"A cell leaves when at least {self.min_customers} distinct customers are in it and no customer owes more "
            f"than {self.dominance_percent:g} % of any of its sums of squares; smaller cells are joined with their "
            "nearest sibling, or nothing leaves."
        )
        yield (
            "Suppression protects against reading a person out of one release. It does not hold against differencing "
            "many: in a trial, of 79 gated cells from 20 differently parametrised one-shot trainings, 5 pairs "
            "differed by exactly one customer. This is no anonymisation."
        )
        yield (
            f"In any 24 hours: at most {self.runs_per_day} runs that release something new, and at most "
            f"{self.cells_per_day} cells of each published relation, whatever the plans are called."
        )
        if self.min_changed_customers:
            yield (
                f"While fewer than {self.min_changed_customers} customers changed since an earlier release, the same "
                "plan gets the same answer again, and a new plan gets none."
            )
        else:
            yield "min_changed_customers = 0: two releases around one new customer differ by exactly that customer."
        yield f"Strategies: {', '.join(self.allowed_strategies)}. Model types: {', '.join(self.model_types)}."
        if self.exact_rounds:
            yield (
                "exact_rounds = true: consecutive steps may differ by one customer, whose features then fall out by "
                "subtraction. In a trial with three silos of 1,300 customers 8 of 57 steps moved exactly one customer. "
                "It is for parties that trust each other with aggregates, and no protection of individuals."
            )
        yield _INSTALL_WORDS[self.install]
        if self.ledger_days:
            yield f"The ledger keeps {self.ledger_days} days; older entries are pruned when the silo starts."
        else:
            yield "The ledger keeps every entry."


_INSTALL_WORDS: Final[Mapping[str, str]] = {
    "ask": "A global model waits until you accept it (hanse silo installs).",
    "auto": "A global model is put into this silo's registry at once, under the coordinator's name.",
    "never": "No global model is put into this silo's registry.",
}


def _whole(low: int) -> Callable[[Any, str], int]:
    def check(value: Any, what: str) -> int:
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            raise UsageError(f"{what}: need a whole number of {low} or more")
        return value

    return check


def _real(low: float, high: float) -> Callable[[Any, str], float]:
    def check(value: Any, what: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not low < value <= high:
            upper = f" up to {high:g}" if math.isfinite(high) else ""
            raise UsageError(f"{what}: need a number above {low:g}{upper}")
        return float(value)

    return check


def _words(known: tuple[str, ...] | None) -> Callable[[Any, str], tuple[str, ...]]:
    def check(value: Any, what: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(v, str) and v for v in value):
            raise UsageError(f'{what}: need a list of names, as ["one_shot"]')
        for word in value:
            if known is not None and word not in known:
                raise UsageError(f"{what}: unknown {word!r}: {nearest(word, known)}")
        return tuple(value)

    return check


def _flag(value: Any, what: str) -> bool:
    if not isinstance(value, bool):
        raise UsageError(f"{what}: need true or false")
    return value


def _install(value: Any, what: str) -> Any:
    if value not in _INSTALLS:
        raise UsageError(f"{what}: need one of {', '.join(_INSTALLS)}")
    return value


_CHECKS: Final[Mapping[str, Callable[[Any, str], Any]]] = {
    "min_customers": _whole(FLOOR_CUSTOMERS),
    "min_changed_customers": _whole(0),
    "dominance_percent": _real(0.0, 100.0),
    "model_types": _words(None),
    "strategies": _words(_STRATEGIES),
    "exact_rounds": _flag,
    "install": _install,
    "max_clusters": _whole(1),
    "runs_per_day": _whole(0),
    "cells_per_day": _whole(0),
    "snapshot_hours": _real(0.0, math.inf),
    "ledger_days": _whole(0),
}
