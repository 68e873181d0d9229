"""Checking a ledger without trusting it, also while a silo writes to it.

What each check can find. The chain finds an entry that was changed, dropped or put elsewhere. The head file beside the
ledger finds entries cut off its end, unless whoever cut them rewrote that file too. The head travels in every signed
reply, so a coordinator's record finds even a ledger that was rewritten as a whole: give it to :func:`verify`.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hanse.errors import WorkspaceError
from hanse.federation.ledger import GENESIS, Entry, file_lock, follows, parsed

__all__ = ["Verification", "entries_of", "summary", "verify"]


@dataclass(frozen=True)
class Verification:
    """What a check of a ledger found.

    Args:
        entries: that are whole and in order.
        head: hash of the last of them.
        problems: a sentence each; empty for a sound ledger.
        notes: what is worth knowing and no problem.
    """

    entries: int
    head: str
    problems: tuple[str, ...]
    notes: tuple[str, ...]


def verify(path: Path, heads: tuple[str, ...] = ()) -> Verification:
    """Check a ledger without changing it, also while a silo appends.

    Args:
        path: the ledger.
        heads: what replies carried, from a coordinator's record; each must be in the chain.

    Raises:
        WorkspaceError: the file cannot be read.
    """
    data, noted = _read_consistently(path)
    whole = data.rfind(b"\n") + 1
    problems: list[str] = []
    notes: list[str] = []
    before: Entry | None = None
    head, changed, hashes = GENESIS, False, dict[int, str]()
    for number, line in enumerate(data[:whole].splitlines(keepends=True), 1):
        try:
            entry, hash_ = parsed(line)
        except ValueError as error:
            problems.append(f"line {number}: {error}")
            changed = True
            continue
        if entry.decision == "pruned" and before is None:
            notes.append(entry.detail)
            hash_ = entry.previous
        elif not changed and not follows(entry, before, head):
            after = f"entry {before.seq}" if before else "the beginning"
            problems.append(
                f"line {number}: entry {entry.seq} does not follow {after}: one was dropped, reordered or changed"
            )
        before, head, changed = entry, hash_, False
        hashes[entry.seq] = hash_
    if data[whole:]:
        notes.append("the last line is not finished: its answer was never sent; the silo moves it aside when it starts")
    problems += _head_problems(noted, before.seq if before else 0, hashes)
    known = set(hashes.values())
    problems += [
        f"head {h} of a reply is not in this ledger: it was rewritten, or pruned" for h in heads if h not in known
    ]
    return Verification(len(hashes), head, tuple(problems), tuple(notes))


def _head_problems(noted: bytes, last: int, hashes: dict[int, str]) -> Iterator[str]:
    """Compare the head file; it may lag behind by what was appended in the moment of a crash, never run ahead."""
    try:
        number, hash_ = noted.decode().split()
        seq = int(number)
    except ValueError:
        if noted or last:
            yield "the head file is missing or unreadable: entries may have been cut off the end"
        return
    if seq > last:
        yield f"the head file names entry {seq}, the ledger ends with entry {last}: entries were cut off the end"
    elif seq in hashes and hashes[seq] != hash_:
        yield f"the head file names another entry {seq}: the ledger was rewritten"


def _read_consistently(path: Path) -> tuple[bytes, bytes]:
    try:
        lock = path.with_suffix(".lock")
        head = path.with_suffix(".head")
        with contextlib.ExitStack() as stack:
            if lock.exists():
                descriptor = os.open(lock, os.O_RDWR)
                stack.callback(os.close, descriptor)
                stack.enter_context(file_lock(descriptor))
            return path.read_bytes(), head.read_bytes() if head.exists() else b""
    except OSError as error:
        raise WorkspaceError(f"ledger {path} cannot be read: {error.strerror}") from None


def entries_of(path: Path) -> list[Entry]:
    """A ledger's entries, payloads included; lines that were changed are left out.

    Raises:
        WorkspaceError: the file cannot be read.
    """
    found = []
    for line in _read_consistently(path)[0].splitlines(keepends=True):
        with contextlib.suppress(ValueError):
            found.append(parsed(line)[0])
    return found


def summary(entry: Entry) -> dict[str, Any]:
    """What ``hanse silo ledger`` shows of an entry."""
    return {
        "seq": entry.seq,
        "time": entry.time,
        "decision": entry.decision,
        "kind": entry.kind,
        "silo": entry.silo,
        "relation": entry.relation,
        "coordinator": entry.coordinator.removeprefix("hanse-key:")[:15],
        "run": entry.run[:8],
        "round": entry.round,
        "reasons": ", ".join(entry.reasons),
        "statistics": ", ".join(f"{name}{list(shape)}" for name, shape in entry.shapes.items()),
        "cells": entry.cells,
        "merged": entry.merged,
        "bytes": entry.size_bytes,
        "detail": entry.detail,
    }
