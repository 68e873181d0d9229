"""``hanse run`` that stops at one point of a training until it is killed: held_coordinator.py WHEN ARGUMENTS...

WHEN is ``trained`` (the model is not registered yet), ``registered`` (nobody was offered it) or ``offered`` (everybody has
answered, and the run does not count as done).
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

from hanse.cli.running import run
from hanse.federation.journal import Journal
from hanse.registry import Registry
from hanse.session import federated_training


def hold(when: str) -> None:
    """Say that the point is reached, and wait for the end."""
    if sys.argv[1] == when:
        print("held", flush=True)
        sys.stdin.readline()


create, offer, finish = Registry.create, federated_training._offer, Journal.finish


def held_create(self: Registry, *given: Any) -> Any:
    hold("trained")
    return create(self, *given)


def held_offer(*given: Any) -> Iterator[str]:
    hold("registered")
    return offer(*given)


def held_finish(self: Journal, *given: Any) -> None:
    hold("offered")
    finish(self, *given)


Registry.create = held_create  # type: ignore[method-assign]  # the one place where a test can stop a real coordinator
federated_training._offer = held_offer  # the same
Journal.finish = held_finish  # type: ignore[method-assign]  # the same

if __name__ == "__main__":
    sys.exit(run(sys.argv[2:]))
