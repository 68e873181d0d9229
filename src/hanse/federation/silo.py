"""The silo's agent: one task in, one reply out, by the owner's policy; the same over a network and in process."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.parse import quote, unquote
from weakref import WeakValueDictionary

import msgspec
import numpy as np

from hanse.federation.answers import Answers, entry_of, plan_hash
from hanse.federation.asking import Answered
from hanse.federation.config import SiloConfig
from hanse.federation.database import Access, Database
from hanse.federation.gate import Gate, Release
from hanse.federation.install import Installer
from hanse.federation.kinds import WORK
from hanse.federation.ledger import Entry, Ledger
from hanse.federation.memory import Memory, secret_of
from hanse.federation.policy import Policy
from hanse.federation.refusals import RefusalError
from hanse.federation.snapshot import Snapshot, Snapshots, few_of_store, private_folder
from hanse.federation.source import find, published, stores_of
from hanse.federation.tally import Asked
from hanse.messages import PROTOCOL, Reason, Reply, Task, encode, task_hash
from hanse.statistics import BoolArray

__all__ = ["IN_PROCESS", "Silo"]

_PATIENCE_S: Final = 10.0
IN_PROCESS: Final = "in this process"
"""What the ledger calls a coordinator that shares the silo's process; elsewhere it is a key."""

_BELONGS: Final = {"observe": "rounds", "fit": "one_shot"}
_STRATEGY_FREE: Final = ("describe", "install", "finish")


@dataclass(frozen=True)
class _Open:
    """A run's snapshot, and what the silo remembers about its data.

    Args:
        snapshot: the rows.
        relation: the published relation, with its store.
        fingerprint: that replies are bound to.
        frozen: too few customers changed since that data was released from: earlier answers only.
    """

    snapshot: Snapshot
    relation: str
    fingerprint: str
    frozen: bool


class Silo:
    """Answers tasks. Thread-safe; each answer is in the ledger, on disk, before it is returned.

    A silo is called by its name. Where a published relation has a ``store`` column, each value is a silo of its own,
    called ``name/value``; characters other than letters, digits, ``_`` and ``-`` of the value are written ``%XX``.

    Args:
        config: what the owner decides.
        clock: seconds since 1970.

    Raises:
        HanseError: the silo's own files cannot be made or read.
    """

    def __init__(self, config: SiloConfig, clock: Callable[[], float] = time.time) -> None:
        self.config = config
        self._clock = clock
        private_folder(config.state)
        self.ledger = Ledger(config.ledger)
        self.ledger.prune(config.policy.ledger_days)
        self._answers = Answers(self.ledger)
        self._access = Access(config.database, config.state, clock)
        self._snapshots = Snapshots(config, self._access, secret_of(config.state / "secret"), clock)
        self._memory = Memory(config.state / "memory")
        self._installer = Installer(config)
        self._runs: dict[Path, _Open] = {}
        self._locks: WeakValueDictionary[tuple[str, str], threading.Lock] = WeakValueDictionary()
        self._guard = threading.Lock()

    @classmethod
    def embedded(
        cls,
        database: str | Path | Database,
        config: str | Path | None = None,
        *,
        name: str,
        policy: Policy | None = None,
    ) -> Silo:
        """A silo in this process.

        Args:
            database: the DuckDB file, or tables on Spark; those with a ``customer_id`` column are published.
            config: a silo.toml, which then says it all, or None for the default policy with install = auto.
            name: what the silo is called, without a silo.toml.
            policy: another policy, without a silo.toml.
        """
        return cls(SiloConfig.load(config) if config is not None else SiloConfig.embedded(name, database, policy))

    def __enter__(self) -> Silo:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of all files; open runs go on after a restart."""
        self._access.close()
        self._snapshots.close()
        self.ledger.close()

    def prepare(self) -> None:
        """Start what reads the rows, where that takes long: Spark.

        Raises:
            UsageError: pyspark or Java is missing.
            EngineError: Spark does not start, or cannot be reached.
        """
        self._access.prepare()

    @property
    def policy(self) -> Policy:
        """What may leave."""
        return self.config.policy

    def ids(self) -> Sequence[str]:
        """What the silo is called: its name, or a name for each store."""
        return list(dict.fromkeys(id_ for id_, _ in self.relations())) or [self.config.name]

    def relations(self) -> Sequence[tuple[str, str]]:
        """Every published relation under every name of the silo that has it: pairs of silo id and relation."""
        name = self.config.name
        found = []
        with self._access.opened(self._clock() + _PATIENCE_S) as engine:
            for publish in published(self.config, engine).values():
                stores = stores_of(engine, publish) if publish.store else None
                ids = [name] if stores is None else [f"{name}/{quote(store, safe='')}" for store in stores]
                found += [(id_, publish.name) for id_ in ids]
        return found

    @contextmanager
    def borrowed(self, run: str, id_: str, relation: str, deadline: float) -> Iterator[tuple[Snapshot, Memory]]:
        """A snapshot for the owner's own eyes, deleted afterwards, and what is remembered of its data."""
        key = f"{run}\n{id_}"
        try:
            yield self._snapshots.open(key, relation, self._store(id_), deadline), self._memory
        finally:
            self._snapshots.delete(key)

    def _store(self, id_: str) -> str | None:
        return unquote(id_[len(self.config.name) + 1 :]) if "/" in id_ else None

    def answer(self, task: Task, *, coordinator: str = IN_PROCESS) -> Reply:
        """Answer a task, or say why not.

        Args:
            task: from a coordinator whom the transport knows.
            coordinator: its key, for the ledger; in process there is none.

        Returns:
            the reply, the same bytes for the same task of the same coordinator; its ledger entry is on disk.

        Raises:
            HanseError: the ledger cannot be written: then nothing may leave.
        """
        hash_ = task_hash(task)
        with self._lock(task):
            try:
                self._check(task)
                with self.ledger.locked():  # one look at it for both
                    known = self._answers.of_task(hash_, coordinator)
                    ended = self._answers.finished(task.run, task.silo)
                if known is not None:
                    return known
                if ended and task.kind != "install":
                    raise RefusalError("finished", "the run has ended here: begin a new one")
                return self._decide(task, hash_, coordinator)
            except RefusalError as refusal:
                return self._refuse(task, hash_, coordinator, refusal)
            except Exception as error:  # noqa: BLE001  # one bad task must not end the silo, nor go unrecorded
                text = "the silo could not answer; its own ledger says why"
                detail = f"{type(error).__name__}: {error}"
                return self._refuse(
                    task, hash_, coordinator, RefusalError("failed", text, detail=detail, status="failed")
                )

    def _lock(self, task: Task) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault((task.run, task.silo), threading.Lock())

    def _check(self, task: Task) -> None:
        """What can be said of a task before anything is opened.

        Raises:
            RefusalError: it is for somebody else, too late, or not allowed.
        """
        if task.protocol != PROTOCOL:
            raise RefusalError("protocol", f"protocol version {task.protocol}: this silo speaks version {PROTOCOL}")
        if task.silo != self.config.name and not task.silo.startswith(f"{self.config.name}/"):
            raise RefusalError("silo", f"silo {task.silo:.80} is not here")
        if task.expires_at < self._clock():
            raise RefusalError("expired", "the task has expired; or clocks differ")
        if task.kind in _STRATEGY_FREE:
            return
        allowed = self.policy.allowed_strategies
        if task.strategy not in allowed:
            cure = "; rounds needs exact_rounds" if task.strategy == "rounds" else ""
            raise RefusalError("policy", f"strategy {task.strategy}: this silo allows {', '.join(allowed)}{cure}")
        if task.kind in _BELONGS and task.strategy != _BELONGS[task.kind]:
            raise RefusalError("policy", f"{task.kind} belongs to strategy {_BELONGS[task.kind]}")
        if task.model_type and task.model_type not in self.policy.model_types:
            types = ", ".join(self.policy.model_types)
            raise RefusalError("policy", f"model type {task.model_type:.60}: this silo allows {types}")

    def _decide(self, task: Task, hash_: str, coordinator: str) -> Reply:
        base = entry_of(task, hash_, coordinator, self.policy)
        if task.kind == "finish":
            self._snapshots.delete(_session(task))
            for path in [path for path in list(self._runs) if not path.exists()]:
                self._runs.pop(path, None)
            return self._send(task, hash_, base, self._reply(task, hash_))
        if task.kind == "install":
            facts = self._installer.install(task.payload)
            return self._send(task, hash_, base, self._reply(task, hash_, facts=facts))
        run = self._run(task)
        plan = plan_hash(task)
        base = msgspec.structs.replace(base, relation=run.relation, data=run.fingerprint, plan=plan)
        if task.kind == "describe":
            reply = self._reply(task, hash_, facts=self._describe(task, run), fingerprint=run.fingerprint)
            return self._send(task, hash_, base, reply)
        earlier = self._answers.of_plan(plan, self.policy.hash, run.fingerprint)
        if earlier is not None:
            return self._again(task, hash_, base, run, *earlier)
        if run.frozen:
            text = (
                "fewer than min_changed_customers customers changed since this relation was last released, and "
                "subtraction would show them: ask an earlier plan again, or wait"
            )
            raise RefusalError("complementary", text)
        return self._release(task, hash_, base, run)

    def _run(self, task: Task) -> _Open:
        """The run's snapshot, made at its first task."""
        store = self._store(task.silo)
        self._check_store(task, store)
        snapshot = self._snapshots.open(_session(task), task.relation, store, task.expires_at)
        if store is not None and snapshot.meta.customers < self.policy.min_customers_for(task):
            raise few_of_store(store, snapshot.publish.name)
        known = self._runs.get(snapshot.path)
        if known is not None and known.snapshot is snapshot:
            return known
        relation = snapshot.publish.name.lower() + ("" if store is None else f"/{store}")
        close = self._memory.close_to(relation, snapshot, self.policy.min_changed_customers)
        run = _Open(snapshot, relation, close or snapshot.fingerprint, bool(close))
        before = self._answers.data_of(task.run, task.silo, relation)
        if before and before != run.fingerprint:
            raise RefusalError("expired", "the run's snapshot is gone and the data have changed: begin a new run")
        self._runs[snapshot.path] = run
        return run

    def _check_store(self, task: Task, store: str | None) -> None:
        if self.config.publish is None:
            if store is not None:
                raise RefusalError("silo", f"{task.relation:.80} has no stores here: ask {self.config.name}")
            return
        publish = find(self.config, None, task.relation)
        if publish.store and store is None:
            text = f"{publish.name} is several silos here, one for each store: ask {self.config.name}/STORE"
            raise RefusalError("silo", text)
        if store is not None and not publish.store:
            raise RefusalError("silo", f"{publish.name} has no stores here: ask {self.config.name}")

    def _describe(self, task: Task, run: _Open) -> dict[str, object]:
        return {
            "columns": dict(run.snapshot.types),
            "definition": run.snapshot.definition(task.features),
            "policy": {**self.policy.public(), "left": self._answers.left(self.policy, run.relation)},
        }

    def _again(self, task: Task, hash_: str, base: Entry, run: _Open, entry: Entry, earlier: Reply) -> Reply:
        """An earlier answer to the same plan."""
        reasons = (*earlier.reasons, Reason(code="unchanged")) if run.frozen else earlier.reasons
        reply = msgspec.structs.replace(
            self._reply(task, hash_, fingerprint=run.fingerprint), statistics=earlier.statistics, reasons=reasons
        )
        told = msgspec.structs.replace(
            base,
            decision="repeated",
            shapes=entry.shapes,
            merged=entry.merged,
            customers=entry.customers,
            detail=f"as entry {entry.seq}",
        )
        return self._send(task, hash_, told, reply)

    def _release(self, task: Task, hash_: str, base: Entry, run: _Open) -> Reply:
        """A new answer: judged beside all that left from the same data before, also while it was being made."""
        masks = self._memory.masks(run.relation, run.snapshot)
        while True:
            found = self._judged(task, run, masks)
            with self.ledger.locked():
                before, masks = masks, self._memory.masks(run.relation, run.snapshot)
                if len(masks) > len(before):
                    continue  # another run has merged cells meanwhile
                earlier = self._answers.of_plan(base.plan, self.policy.hash, run.fingerprint)
                if earlier is not None:
                    return self._again(task, hash_, base, run, *earlier)
                self._answers.check(self.policy, run.relation, task.run, found.cells)
                self._memory.remember(run.relation, run.snapshot, self.policy.min_changed_customers)
                merged = [mask for release in found.releases for mask in release.masks]
                self._memory.add_masks(run.relation, run.snapshot, merged)
                return self._send(task, hash_, *self._released(task, hash_, base, run, found))

    def _judged(self, task: Task, run: _Open, masks: Sequence[BoolArray]) -> Answered:
        snapshot = run.snapshot
        gate = Gate(self.policy.min_customers_for(task), self.policy.dominance_percent, masks)

        def judge(asked: Asked) -> Release:
            return gate.release(asked, snapshot.customers if masks else None, asked.classes)

        return WORK[task.kind](snapshot, task, self.policy, judge)

    def _released(self, task: Task, hash_: str, base: Entry, run: _Open, found: Answered) -> tuple[Entry, Reply]:
        statistics = {name: array.tolist() for name, array in found.statistics.items()}
        reply = self._reply(task, hash_, fingerprint=run.fingerprint)
        reply = msgspec.structs.replace(reply, statistics=statistics, reasons=found.reasons)
        told = msgspec.structs.replace(
            base,
            shapes={name: tuple(np.shape(array)) for name, array in found.statistics.items()},
            cells=found.cells,
            merged=sum(release.merged for release in found.releases),
            customers=min(release.smallest for release in found.releases),
        )
        return told, reply

    def _reply(self, task: Task, hash_: str, facts: dict[str, object] | None = None, fingerprint: str = "") -> Reply:
        return Reply(
            run=task.run,
            round=task.round,
            silo=task.silo,
            task_hash=hash_,
            status="ok",
            facts=facts or {},
            fingerprint=fingerprint,
            policy_hash=self.policy.hash,
        )

    def _send(self, task: Task, hash_: str, entry: Entry, reply: Reply) -> Reply:
        """Write the ledger's entry, wait for the disk, and only then hand the reply on."""
        payload = encode(reply)
        told = msgspec.structs.replace(
            entry,
            reasons=tuple(reason.code for reason in reply.reasons),
            payload=payload.decode(),
            payload_sha256=hashlib.sha256(payload).hexdigest(),
            size_bytes=len(payload),
        )
        with self.ledger.locked():
            known = self._answers.of_task(hash_, entry.coordinator)
            if known is not None:
                return known
            return msgspec.structs.replace(reply, ledger_head=self.ledger.append(told))

    def _refuse(self, task: Task, hash_: str, coordinator: str, refusal: RefusalError) -> Reply:
        reply = Reply(
            run=task.run,
            round=task.round,
            silo=task.silo,
            task_hash=hash_,
            status=refusal.status,
            reasons=(Reason(code=refusal.code, statistic=refusal.statistic),),
            policy_hash=self.policy.hash,
            message=refusal.message,
        )
        decision = "refused" if refusal.status == "refused" else "failed"
        entry = msgspec.structs.replace(
            entry_of(task, hash_, coordinator, self.policy),
            decision=decision,
            lasting=refusal.lasting,
            relation=task.relation.lower()[:200],
            detail=": ".join(filter(None, [refusal.message, refusal.detail])),
        )
        return self._send(task, hash_, entry, reply)


def _session(task: Task) -> str:
    return f"{task.run}\n{task.silo}"
