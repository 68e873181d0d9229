"""What the ledger says of earlier answers: the same bytes for the same task, earlier answers again, budgets spent."""

from __future__ import annotations

import datetime
import hashlib
from collections import Counter, deque

import msgspec

from hanse.federation.ledger import Entry, Ledger
from hanse.federation.policy import Policy
from hanse.federation.refusals import RefusalError
from hanse.messages import Reply, Task, decode, encode

__all__ = ["Answers", "entry_of", "plan_hash"]


class Answers:
    """An index over a ledger, which is where durable answers are kept; thread-safe.

    Args:
        ledger: of the silo.
    """

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._clear()

    def _clear(self) -> None:
        self._reread = self._ledger.times_reread
        self._read = 0
        self._by_task: dict[tuple[str, str], int] = {}
        self._by_plan: dict[str, list[int]] = {}
        self._finished: set[tuple[str, str]] = set()
        self._data: dict[tuple[str, str, str], str] = {}
        self._spent: deque[Entry] = deque()  # what released something new in the last 24 hours
        self._cells: Counter[str] = Counter()  # of these, by relation
        self._runs: Counter[str] = Counter()  # of these, by run

    def _update(self) -> None:
        if self._reread != self._ledger.times_reread:
            self._clear()
        end = len(self._ledger.entries)
        for index in range(self._read, end):
            entry = self._ledger.entries[index]
            if entry.decision in ("released", "repeated") or entry.lasting:
                self._by_task[entry.task, entry.coordinator] = index
            if entry.decision == "released":
                self._by_plan.setdefault(entry.plan, []).append(index)
            if entry.decision == "released" and entry.cells:
                self._spent.append(entry)
                self._cells[entry.relation] += entry.cells
                self._runs[entry.run] += 1
            if entry.decision in ("released", "repeated") and entry.data:
                self._data.setdefault((entry.run, entry.silo, entry.relation), entry.data)
            if entry.kind == "finish" and entry.decision == "released":
                self._finished.add((entry.run, entry.silo))
        self._read = end

    def of_task(self, task_hash: str, coordinator: str) -> Reply | None:
        """The very answer that this coordinator's task got, byte for byte; None if it got none.

        Another coordinator with the same task is answered anew, so that the ledger says who has heard what.
        """
        with self._ledger.locked():
            self._update()
            index = self._by_task.get((task_hash, coordinator))
            if index is None:
                return None
            return msgspec.structs.replace(self._reply(index), ledger_head=self._ledger.hashes[index])

    def of_plan(self, plan: str, policy_hash: str, fingerprint: str) -> tuple[Entry, Reply] | None:
        """The last answer to the same plan, under the same policy, from the same data."""
        with self._ledger.locked():
            self._update()
            for index in reversed(self._by_plan.get(plan, ())):
                entry = self._ledger.entries[index]
                if entry.policy == policy_hash and entry.data == fingerprint:
                    return entry, self._reply(index)
        return None

    def _reply(self, index: int) -> Reply:
        reply: Reply = decode(self._ledger.payload(index).encode(), Reply)
        return reply

    def finished(self, run: str, silo: str) -> bool:
        """Whether a run has ended at this silo."""
        with self._ledger.locked():
            self._update()
            return (run, silo) in self._finished

    def data_of(self, run: str, silo: str, relation: str) -> str:
        """The fingerprint that a run was answered from so far; empty if it was not."""
        with self._ledger.locked():
            self._update()
            return self._data.get((run, silo, relation), "")

    # -- budgets ------------------------------------------------------------------------------

    def _forget_older(self) -> None:
        """Leave out what is older than 24 hours."""
        self._update()
        since = (datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)).isoformat(timespec="milliseconds")
        while self._spent and self._spent[0].time < since:
            entry = self._spent.popleft()
            self._cells[entry.relation] -= entry.cells
            self._runs[entry.run] -= 1
            if not self._runs[entry.run]:
                del self._runs[entry.run]

    def left(self, policy: Policy, relation: str) -> dict[str, int]:
        """What is left of the budgets."""
        with self._ledger.locked():
            self._forget_older()
            return {
                "runs": max(policy.runs_per_day - len(self._runs), 0),
                "cells": max(policy.cells_per_day - self._cells[relation], 0),
            }

    def check(self, policy: Policy, relation: str, run: str, cells: int) -> None:
        """Whether so many cells more may be released; ask while the ledger is locked.

        Raises:
            RefusalError: a budget is spent.
        """
        left = self.left(policy, relation)
        if left["cells"] < cells:
            raise RefusalError(
                "budget", "cells_per_day is spent: ask again tomorrow", detail=f"{left['cells']} left, {cells} needed"
            )
        if not left["runs"] and run not in self._runs:
            raise RefusalError("budget", "runs_per_day is spent: ask again tomorrow")


def plan_hash(task: Task) -> str:
    """Hash of what is asked, whatever the run and the silo are called."""
    plan = msgspec.structs.replace(
        task,
        run="",
        round=0,
        silo=task.silo.partition("/")[2],
        nonce="",
        expires_at=0.0,
        relation=task.relation.lower(),
    )
    return hashlib.sha256(encode(plan)).hexdigest()


def entry_of(task: Task, hash_: str, coordinator: str, policy: Policy) -> Entry:
    """What a ledger entry says of the task; the rest is filled in."""
    return Entry(
        seq=0,
        time="",
        decision="released",
        coordinator=coordinator,
        silo=task.silo[:200],
        run=task.run[:200],
        round=task.round,
        kind=task.kind,
        strategy=task.strategy,
        task=hash_,
        policy=policy.hash,
    )
