"""A pytest plugin: after each test it inspects every ledger that the test made, and fails it for a cell that is too small."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.errors import HanseError
from hanse.federation.config import SiloConfig
from hanse.federation.kinds import WORK
from hanse.federation.ledger import Ledger, parsed
from hanse.federation.policy import FLOOR_CUSTOMERS, Policy
from hanse.federation.silo import Silo
from hanse.messages import Reply, decode

__all__ = ["ledgers_hold_no_small_cell", "small_cells", "watched_ledgers"]

_DEFAULTS = {policy.hash: policy.min_customers for policy in (Policy(), Policy(install="auto"))}


@pytest.fixture(scope="session", autouse=True)
def watched_ledgers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[list[Path], set[Path], dict[str, int]]]:
    """Notes every folder that a test gets, every ledger opened in this process, and every policy's min_customers."""
    folders: list[Path] = []
    ledgers: set[Path] = set()
    minima: dict[str, int] = {}
    mktemp, opened, made = tmp_path_factory.mktemp, Ledger.__init__, Silo.__init__

    def folder(*arguments: Any, **options: Any) -> Path:
        folders.append(mktemp(*arguments, **options))
        return folders[-1]

    def ledger(self: Ledger, path: Path) -> None:
        ledgers.add(path)
        opened(self, path)

    def silo(self: Silo, config: SiloConfig, *rest: Any, **options: Any) -> None:
        minima[config.policy.hash] = config.policy.min_customers
        made(self, config, *rest, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tmp_path_factory, "mktemp", folder)
        patch.setattr(Ledger, "__init__", ledger)
        patch.setattr(Silo, "__init__", silo)
        yield folders, ledgers, minima


@pytest.fixture(autouse=True)
def ledgers_hold_no_small_cell(tmp_path: Path, watched_ledgers: Any) -> Iterator[None]:
    """Fails a test when a ledger, of silos in this process or in others, tells of a cell under min_customers."""
    folders, ledgers, minima = watched_ledgers
    yield
    found = {path for folder in folders if folder.is_dir() for path in folder.rglob("*.ledger") if path.is_file()}
    problems = [problem for path in sorted(found | ledgers) for problem in small_cells(path, minima)]
    ledgers.clear()
    folders.remove(tmp_path)  # of this test alone; those of a module are looked at again
    if problems:
        pytest.fail("a ledger tells of cells that are too small:\n" + "\n".join(problems), pytrace=False)


def small_cells(path: Path, minima: dict[str, int]) -> list[str]:
    """What is wrong with a ledger: by the gate's own count of customers, and by the rows that the payloads tell.

    Args:
        path: the ledger; lines that a test tore or forged are passed over.
        minima: min_customers by a policy's hash; where it is not known, silo.toml beside the ledger says it, or it is
            a default policy, or else the floor holds, below which no policy goes.
    """
    if not path.is_file():
        return []
    known = {**_DEFAULTS, **_of_file(path.parent / "silo.toml"), **minima}
    problems = []
    for line in path.read_bytes().splitlines():
        try:
            entry, _ = parsed(line)
        except ValueError:
            continue
        if entry.kind not in WORK or entry.decision not in ("released", "repeated"):
            continue
        least = known.get(entry.policy, FLOOR_CUSTOMERS)
        where = f"{path}, entry {entry.seq} ({entry.kind}, min_customers = {least})"
        if entry.customers < least:
            problems.append(f"{where}: a cell of {entry.customers} customers")
        statistics = decode(entry.payload.encode(), Reply).statistics
        cells = [np.ravel(statistics[name]) for name in ("count", "contingency") if name in statistics]
        problems += [f"{where}: a cell of {rows:g} rows" for part in cells for rows in part if 0 < rows < least]
    return problems


def _of_file(config: Path) -> dict[str, int]:
    try:
        policy = SiloConfig.load(config).policy
    except (HanseError, OSError):
        return {}
    return {policy.hash: policy.min_customers}
