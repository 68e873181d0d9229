"""What a silo remembers of data that it released from: kept whole, and never read half."""

from __future__ import annotations

import gc
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hanse.errors import HanseError
from hanse.federation.digest import Digest
from hanse.federation.memory import Memory
from hanse.federation.refusals import RefusalError


@dataclass
class Held:
    """What the memory asks of a snapshot."""

    fingerprint: str
    digest: Digest
    meta: Any
    types: dict[str, str]


@dataclass
class Meta:
    rows: int


def snapshot(changed: int = 0, rows: int = 21) -> Any:
    """One of which so many customers differ from the first."""
    of_rows = np.arange(rows, dtype=np.uint64) + np.uint64(2**63)
    of_rows[:changed] += np.uint64(1_000)
    columns = np.column_stack([np.zeros(rows), of_rows % 2**32]).astype(np.uint32)
    digest = Digest(np.arange(rows, dtype=np.uint64), of_rows, columns)
    return Held(f"data{changed}", digest, Meta(rows), {"x": "", "y": ""})


def masks(count: int, rows: int = 21) -> list[Any]:
    random = np.random.default_rng(count)
    return list(random.random((count, rows)) < 0.4)


def test_data_that_differ_in_a_few_customers_are_told(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    memory.remember("features", snapshot(), 10)
    for again in (memory, Memory(tmp_path / "memory")):
        assert again.close_to("features", snapshot(3), 10) == "data0"
        assert again.close_to("features", snapshot(10), 10) == ""
        assert again.close_to("features", snapshot(), 10) == ""
        assert again.close_to("others", snapshot(3), 10) == ""


def test_data_too_near_to_released_data_are_not_remembered(tmp_path: Path) -> None:
    memory = Memory(tmp_path / "memory")
    memory.remember("features", snapshot(), 10)
    with pytest.raises(RefusalError, match=r"fewer than min_changed_customers.*begin a new run"):
        memory.remember("features", snapshot(3), 10)
    assert not list((tmp_path / "memory").glob("*data3*"))
    memory.remember("others", snapshot(3), 10)
    memory.remember("features", snapshot(10), 10)
    memory.remember("features", snapshot(), 10)
    assert len(list((tmp_path / "memory").glob("*.digest"))) == 3


@pytest.mark.parametrize("rows", [1, 7, 8, 21])
def test_masks_are_kept_row_by_row_and_once(tmp_path: Path, rows: int) -> None:
    memory, held = Memory(tmp_path / "memory"), snapshot(rows=rows)
    assert memory.masks("features", held) == ()
    first, second = [np.ones(rows, dtype=bool)], [np.arange(rows) % 3 == 0, np.ones(rows, dtype=bool)]
    memory.add_masks("features", held, first)
    memory.add_masks("features", held, second)
    found = memory.masks("features", held)
    expected = {mask.tobytes() for mask in (*first, *second)}
    assert {mask.tobytes() for mask in found} == expected
    assert len(found) == len(expected)
    assert all(mask.dtype == bool and mask.shape == (rows,) for mask in found)


def test_too_many_masks_are_refused_and_the_earlier_ones_stay(tmp_path: Path) -> None:
    memory, held = Memory(tmp_path / "memory"), snapshot()
    memory.add_masks("features", held, masks(250))
    with pytest.raises(RefusalError, match="too many cells were merged"):
        memory.add_masks("features", held, masks(20))
    assert len(memory.masks("features", held)) == 250


@pytest.mark.parametrize("what", ["digest", "masks"])
@pytest.mark.parametrize("damage", ["empty", "cut", "turned", "longer"])
def test_a_damaged_file_is_named_with_the_cure(tmp_path: Path, what: str, damage: str) -> None:
    memory, held = Memory(tmp_path / "memory"), snapshot()
    memory.remember("features", held, 10)
    memory.add_masks("features", held, masks(3))
    (path,) = (tmp_path / "memory").glob(f"*.{what}")
    whole = path.read_bytes()
    turned = bytes([whole[-1] ^ 1])
    path.write_bytes(
        {"empty": b"", "cut": whole[:-8], "turned": whole[:-1] + turned, "longer": whole + b"\0" * 16}[damage]
    )
    with pytest.raises(HanseError, match=r"cannot be read: it is not what was written: restore it, or delete it"):
        memory.close_to("features", snapshot(3), 10) if what == "digest" else memory.masks("features", held)
    with pytest.raises(HanseError, match=str(path)):
        memory.close_to("features", snapshot(3), 10) if what == "digest" else memory.add_masks(
            "features", held, masks(1)
        )


class Garbage:
    """Found by the collector alone, which runs Python then, and so another thread may go on in the midst of anything."""

    def __init__(self) -> None:
        self.itself = self

    def __del__(self) -> None:
        sum(range(50))


def test_the_stores_of_a_dataset_may_read_at_once(tmp_path: Path) -> None:
    """NumPy's own files could not be read like this: ``SystemError: AST constructor recursion depth mismatch``."""
    memory, held = Memory(tmp_path / "memory"), snapshot()
    memory.remember("features", held, 10)
    memory.add_masks("features", held, masks(30))

    def read(_: int) -> tuple[str, int]:
        for _ in range(5):
            Garbage()
        return memory.close_to("features", snapshot(3), 10), len(memory.masks("features", held))

    switching, collecting = sys.getswitchinterval(), gc.get_threshold()
    sys.setswitchinterval(1e-6)
    gc.set_threshold(20)
    try:
        with ThreadPoolExecutor(8) as threads:
            found = set(threads.map(read, range(1_000)))
    finally:
        sys.setswitchinterval(switching)
        gc.set_threshold(*collecting)
    assert found == {("data0", 30)}
