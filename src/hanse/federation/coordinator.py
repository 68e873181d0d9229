"""The coordinator's side of one run: rounds of tasks and replies, journalled, until the strategy is done."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial, reduce
from operator import add
from typing import Any, TypeVar

from hanse.errors import FederationError, ShapeError, TransportError
from hanse.estimator import Observation
from hanse.federation.checks import misfits, part_of, statistics_from
from hanse.federation.journal import MUCH_BYTES, Journal
from hanse.federation.observing import observed
from hanse.federation.plan import Plan
from hanse.messages import Kind, Reply, Task, task_hash
from hanse.statistics import Statistics
from hanse.transports.base import Transport
from hanse.types import Progress

__all__ = ["Coordinator", "SiloLostError"]

T = TypeVar("T")


class SiloLostError(FederationError):
    """A silo dropped out in the middle of a run whose quorum still holds; the rounds begin anew without it."""


@dataclass
class Coordinator:
    """One run.

    Rounds are numbered from 0 and each is asked once: what the journal already holds is taken from there, so a run that
    was cut off repeats its rounds without asking anybody twice, and goes on.

    Args:
        plan: what to do.
        transport: to the silos.
        journal: where replies are written down before they count.
        run_id: a UUID in hex.
        progress: called after each round.
        clock: seconds since 1970.
        active: the silos that still take part.
        lost: those that do not, and why.
        silent: those that did not answer in time.
        rows: of each silo, as it told first in this run.
        journalled: what the journal held when the run began or was resumed; read when it is first needed.
    """

    plan: Plan
    transport: Transport
    journal: Journal
    run_id: str
    progress: Progress | None = None
    clock: Callable[[], float] = time.time
    round: int = 0
    active: list[str] = field(default_factory=list)
    lost: dict[str, str] = field(default_factory=dict)
    silent: set[str] = field(default_factory=set)
    reasons: dict[str, set[str]] = field(default_factory=dict)
    rows: dict[str, float] = field(default_factory=dict)
    journalled: dict[int, dict[str, Reply | None]] | None = None

    def __post_init__(self) -> None:
        self.active = list(self.plan.silos)

    def exchange(
        self,
        kind: Kind,
        *,
        only: list[str] | None = None,
        each: Mapping[str, Mapping[str, Any]] | None = None,
        meanwhile: Callable[[], object] | None = None,
        **fields: Any,
    ) -> dict[str, Reply]:
        """Ask every active silo for one thing and wait for the answers.

        Args:
            kind: of the task.
            only: fewer silos.
            each: by silo fields that differ.
            meanwhile: what there is to do while silos work; it may be left out.
            fields: of the task: ``state``, ``payload`` ...

        Returns:
            the accepted replies by silo; silos that refused, failed or kept silent are in :attr:`lost` now.

        Raises:
            FederationError: fewer silos than the quorum answered.
        """
        round_, self.round = self.round, self.round + 1
        asked = list(self.active if only is None else only)
        tasks = {silo: self._task(kind, round_, silo, {**fields, **(each or {}).get(silo, {})}) for silo in asked}
        known = self._known(kind, tasks)
        if open_ := {silo: task for silo, task in tasks.items() if silo not in known}:
            self._ask(kind, round_, open_, known, meanwhile)
        accepted = {}
        for silo in asked:
            answer = known.get(silo)
            if answer is None:
                self.silent.add(silo)
                self.lose(silo, f"no answer within {self.plan.options.timeout:g} s")
            elif answer.status != "ok":
                self.lose(silo, f"{answer.status}: {answer.message or ', '.join(r.code for r in answer.reasons)}")
            else:
                self.reasons.setdefault(silo, set()).update(r.code for r in answer.reasons)
                accepted[silo] = answer
        self.check_quorum()
        if self.progress is not None:
            self.progress(f"{kind}", {"round": round_, "silos": len(accepted)})
        return accepted

    def _known(self, kind: Kind, tasks: Mapping[str, Task]) -> dict[str, Reply | None]:
        """What the journal holds of these tasks; who kept silent when the model was offered is asked again.

        Raises:
            FederationError: the journal's reply answers something else.
        """
        if self.journalled is None:
            self.journalled = self.journal.replies(self.run_id)
        known = {}
        for silo, task in tasks.items():
            found = self.journalled.get(task.round, {})
            reply = found.get(silo)
            if silo not in found or (reply is None and kind == "install"):
                continue
            if reply is not None and reply.task_hash != task_hash(task) and kind != "install":
                raise FederationError(
                    f"round {task.round} of model {self.plan.model}: silo {silo} answered another task than the "
                    "one to be asked now; Hanse or a CREATE SILO has changed since: begin a new run"
                )
            known[silo] = reply
        return known

    def _ask(
        self,
        kind: Kind,
        round_: int,
        tasks: Mapping[str, Task],
        known: dict[str, Reply | None],
        meanwhile: Callable[[], object] | None,
    ) -> None:
        """Ask, and write every reply and every silence down before any of them counts."""
        expected = {silo: task_hash(task) for silo, task in tasks.items()}

        def waiting() -> None:
            self.journal.settle(above_bytes=MUCH_BYTES)
            if meanwhile is not None:
                meanwhile()

        with self.journal.recording(self.run_id, round_, kind) as add:
            for reply in self.transport.ask(tasks, self.plan.options.timeout, waiting):
                if expected.get(reply.silo) == reply.task_hash and reply.silo not in known:
                    add(reply.silo, reply)
                    known[reply.silo] = reply
            for silo in tasks:
                if silo not in known:
                    add(silo, None)
                    known[silo] = None

    def end(self) -> None:
        """Tell all silos that answered that the run is over; one that does not hear it deletes its snapshot later."""
        with contextlib.suppress(FederationError, TransportError):
            self.exchange("finish", only=[silo for silo in self.plan.silos if silo not in self.silent])

    def lose(self, silo: str, why: str) -> None:
        """Go on without a silo, and say why in the result."""
        if silo in self.active:
            self.active.remove(silo)
        self.lost.setdefault(silo, why.removeprefix(f"silo {silo}: "))

    def read(self, replies: Mapping[str, Reply], reader: Callable[[str, Reply], T]) -> dict[str, T]:
        """What each silo said, as ``reader`` understands it; one that cannot be right is left out by name.

        Raises:
            FederationError: fewer silos than the quorum are left.
        """
        found = {}
        for silo, reply in replies.items():
            try:
                found[silo] = reader(silo, reply)
            except ShapeError as error:
                self.lose(silo, str(error))
        self.check_quorum()
        return found

    def check_quorum(self) -> None:
        """Stop when too few silos are left.

        Raises:
            FederationError: they are named with their reasons.
        """
        if len(self.active) >= self.plan.quorum:
            return
        named = "; ".join(f"{silo}: {why}" for silo, why in self.lost.items())
        cures = []
        if not self.silent.isdisjoint(self.lost):
            cures.append("start those that do not answer")
        if not self.silent.issuperset(self.lost):
            cures.append("ask the owners of the others" if cures else "ask their owners")
        raise FederationError(
            f"quorum missed: {len(self.active)} of {len(self.plan.silos)} silos take part, need {self.plan.quorum} "
            f"({named}): {', '.join(cures)}, or set QUORUM lower; no model was registered"
        )

    def _task(self, kind: Kind, round_: int, silo: str, fields: Mapping[str, Any]) -> Task:
        return Task(
            run=self.run_id,
            round=round_,
            silo=silo,
            nonce=secrets.token_hex(16),
            expires_at=self.clock() + self.plan.options.timeout,
            kind=kind,
            relation=self.plan.relation,
            features=self.plan.features,
            strategy=self.plan.strategy,
            min_customers=self.plan.options.min_customers,
            **{
                "model_type": self.plan.estimator.model_type,
                "options": dict(self.plan.estimator_options),
                **fields,
            },
        )

    def observe(
        self, model_type: str, options: Mapping[str, Any], state: Mapping[str, Any], payload: Mapping[str, Any]
    ) -> Statistics:
        """Ask for the statistics of an estimator's ``observe(state)``, and add them up; the same errors as both.

        What they are is worked out while silos answer, as each of them does.
        """
        asked: dict[str, Any] = {"model_type": model_type, "options": options, "state": state}
        known = partial(observed, **asked, d=len(self.plan.features))
        replies = self.exchange("observe", payload=payload, meanwhile=known, **asked)
        return self.total(replies, known().observation)

    def total(self, replies: Mapping[str, Reply], observation: Observation) -> Statistics:
        """The sum of an observation over all silos that answered.

        A silo whose numbers cannot be right is left out by name.

        Raises:
            SiloLostError: a silo dropped out and the quorum still holds.
            FederationError: it does not.
        """

        def own(silo: str, reply: Reply) -> Statistics:
            part = statistics_from(reply, observation)
            self._same_rows(silo, part, observation)
            return part

        lost = len(self.lost)
        parts = self.read(replies, own)
        for silo, why in misfits(parts, observation).items():
            self.lose(silo, str(why))
        self.check_quorum()
        if len(self.lost) > lost or not parts:
            raise SiloLostError(f"silos {', '.join(self.lost)} dropped out")
        return reduce(add, parts.values())

    def _same_rows(self, silo: str, part: Statistics, observation: Observation) -> None:
        """A silo's rows are those of one snapshot, from the first round to the last.

        Raises:
            ShapeError: it counts more than before, or fewer where all are asked for.
        """
        if "count" not in part:
            return
        if silo in self.rows:
            part_of(silo, part["count"], self.rows[silo], whole=observation.complete)
        elif observation.complete:
            self.rows[silo] = float(part["count"].sum())
