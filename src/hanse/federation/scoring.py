"""A histogram of the training scores over silos, from cells that passed their gates."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from hanse.anomalies.quantiles import EDGES, ScoreQuantiles, quantiles_between
from hanse.errors import FederationError, ShapeError
from hanse.federation.checks import counted, part_of
from hanse.federation.coordinator import Coordinator
from hanse.messages import Reply
from hanse.statistics import FloatArray

__all__ = ["score_quantiles"]


def score_quantiles(coordinator: Coordinator, artifact: Mapping[str, Any]) -> tuple[ScoreQuantiles | None, list[str]]:
    """One exchange; a silo that will not answer it still takes part in all else.

    Args:
        coordinator: of the training.
        artifact: the finished model as it may travel, the same whenever the run is resumed.

    Returns:
        the sketch, None where a silo did not tell its scores or its cells were too few; and what the user should know.
    """
    active, lost, silent = list(coordinator.active), dict(coordinator.lost), set(coordinator.silent)
    reasons = {silo: set(codes) for silo, codes in coordinator.reasons.items()}
    plan = coordinator.plan
    coordinator.plan = replace(plan, options=replace(plan.options, quorum=1))
    counts, joins = [], []
    try:
        with contextlib.suppress(FederationError):
            payload = {"artifact": artifact, "phase": "scores"}
            for silo, reply in coordinator.exchange("evaluate", payload=payload).items():
                try:
                    count, joined = _histogram(silo, reply)
                    if silo in coordinator.rows:
                        part_of(silo, count, coordinator.rows[silo], whole=True)
                except ShapeError as error:
                    coordinator.lose(silo, str(error))
                else:
                    counts.append(count)
                    joins.append(joined)
        missing = {silo: why for silo, why in coordinator.lost.items() if silo not in lost}
    finally:
        coordinator.plan, coordinator.active, coordinator.lost = plan, active, lost
        coordinator.reasons, coordinator.silent = reasons, silent
    if missing:
        told = "; ".join(f"{silo}: {why}" for silo, why in missing.items())
        return None, [f"the model keeps no quantiles of its scores, so contamination => is no threshold ({told})"]
    return quantiles_between(counts, joins) if counts else None, []


def _histogram(silo: str, reply: Reply) -> tuple[FloatArray, tuple[int, ...]]:
    """(cells,) rows, where a joined cell's stand in the first of its cells; and for each cell the number it joined."""
    cells = len(EDGES) + 1
    joined = next((r.cells for r in reply.reasons if r.code == "merged"), tuple(range(cells)))
    told = ShapeError(f"silo {silo}: merged cells {list(joined[:cells])!s:.60}: need {cells} numbers from 0 on")
    if len(joined) != cells or not all(0 <= number < cells for number in joined):
        raise told
    released = max(joined) + 1
    if set(joined) != set(range(released)):
        raise told
    count = counted(silo, "count", reply.statistics.get("count"), (released,))
    rows = np.zeros(cells)
    for number, n in enumerate(count):
        rows[joined.index(number)] = n
    return rows, joined
