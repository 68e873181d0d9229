"""Everything that crosses a wire between a coordinator and its silos: tasks go down, replies come up.

A task is a declarative plan: names and numbers, no SQL and no code. A reply carries named arrays that passed the silo's
gate. Both are decoded strictly.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final, Literal

import msgspec

from hanse.decoding import decoded

__all__ = [
    "KINDS",
    "PROTOCOL",
    "Kind",
    "Reason",
    "Reply",
    "Status",
    "Strategy",
    "Task",
    "decode",
    "encode",
    "task_hash",
]

PROTOCOL: Final = 1
"""The version that every message names; another one is refused."""

Kind = Literal["describe", "moments", "summarize", "fit", "observe", "evaluate", "compare", "install", "finish"]
KINDS: Final[tuple[str, ...]] = (
    "describe",
    "moments",
    "summarize",
    "fit",
    "observe",
    "evaluate",
    "compare",
    "install",
    "finish",
)
"""What a silo may be asked: the published relation's shape and hash; moments for scaling; local clusters; coefficients
of a local model; one round of statistics; measures of a model; a contingency of local and global labels; to take a
model over; to end the run."""

Strategy = Literal["one_shot", "rounds", "article"]

Status = Literal["ok", "refused", "failed"]
"""``refused``: the silo's policy says no; ``failed``: the silo could not."""


class Task(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a coordinator asks of one silo.

    Args:
        protocol: :data:`PROTOCOL`.
        run: the training or evaluation that this belongs to, a UUID in hex.
        round: counts from 0 within a run.
        silo: whom it is for; a silo answers nothing else.
        nonce: 16 random bytes in hex, so that no two tasks are alike.
        expires_at: seconds since 1970, UTC; not answered afterwards.
        kind: one of :data:`KINDS`.
        relation: the published relation.
        features: its columns, in the order in which arrays name them.
        strategy: what the run does; a policy may forbid it.
        model_type: such as ``bisecting_kmeans``.
        options: of the estimator, lower case.
        state: of the estimator, as plain data, for ``observe``.
        min_customers: the statement's; the stricter of this and the silo's policy holds.
        payload: what else the kind needs, as plain data.
    """

    protocol: int = PROTOCOL
    run: str
    round: int
    silo: str
    nonce: str
    expires_at: float
    kind: Kind
    relation: str
    features: tuple[str, ...]
    strategy: Strategy
    model_type: str = ""
    options: dict[str, Any] = {}
    state: dict[str, Any] | None = None
    min_customers: int = 0
    payload: dict[str, Any] = {}


class Reason(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a part of an answer was merged or withheld: a code, never a count.

    Args:
        code: ``merged``, ``withheld``, ``dominant``, ``complementary``, ``unchanged``, ``budget``, ``policy`` ...
        statistic: which array, or empty for the whole answer.
        cells: how the cells of the released array were joined: for each cell of the plan the released cell's number,
            or -1 for a withheld one; empty where nothing was joined.
    """

    code: str
    statistic: str = ""
    cells: tuple[int, ...] = ()


class Reply(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a silo answers.

    Args:
        protocol: :data:`PROTOCOL`.
        run: of the task.
        round: of the task.
        silo: who answers.
        task_hash: :func:`task_hash` of the task.
        status: ``ok``, ``refused`` or ``failed``.
        statistics: nested lists of floats by name; only what passed the gate.
        reasons: what was merged or withheld, and why.
        facts: plain data of kinds that are no statistics (``describe``: definition hash, columns; ``install``: name).
        fingerprint: of the snapshot that the run is answered from.
        policy_hash: of the policy that held.
        ledger_head: hash of the ledger's entry for this reply.
        message: for a person; names no counts.
    """

    protocol: int = PROTOCOL
    run: str
    round: int
    silo: str
    task_hash: str
    status: Status
    statistics: dict[str, Any] = {}
    reasons: tuple[Reason, ...] = ()
    facts: dict[str, Any] = {}
    fingerprint: str = ""
    policy_hash: str = ""
    ledger_head: str = ""
    message: str = ""


_ENCODER: Final = msgspec.json.Encoder(order="deterministic")


def encode(message: Task | Reply) -> bytes:
    """A message as bytes; equal messages give equal bytes, floats survive to the last bit."""
    return _ENCODER.encode(message)


def decode(data: bytes, kind: type[Task] | type[Reply]) -> Any:
    """Bytes as a message.

    Raises:
        ValueError: not JSON, a field that is missing, unknown or of another type, or another protocol version.
    """
    message = decoded(data, kind)
    if message.protocol != PROTOCOL:
        raise ValueError(f"protocol version {message.protocol}: this Hanse speaks version {PROTOCOL}")
    return message


def task_hash(task: Task) -> str:
    """SHA-256 of the plan: all of a task but its nonce and expiry, so that a retried task has the same hash."""
    plan = msgspec.structs.replace(task, nonce="", expires_at=0.0)
    return hashlib.sha256(encode(plan)).hexdigest()
