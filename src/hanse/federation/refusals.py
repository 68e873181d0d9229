"""Why a silo does not answer, or not in full: codes for the coordinator, words for both, details for the silo alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hanse.errors import HanseError
from hanse.messages import Status

__all__ = ["CODES", "RefusalError"]

CODES: Final[Mapping[str, str]] = {
    "artifact": "the model that is to be installed or evaluated cannot be read, or carries more than it may",
    "budget": "the release budget (runs_per_day, cells_per_day) is spent",
    "busy": "the store's own loader held the database until the task expired",
    "complementary": "subtracted from what was released before, this would show too few customers",
    "data": "the published rows hold NULL or numbers that are not finite, or counts that do not add up",
    "dominant": "one customer owes more of a sum of squares than dominance_percent",
    "expired": "the task or its run has expired",
    "failed": "the silo could not; its own ledger says why",
    "finished": "the run has ended",
    "merged": "cells were joined with their nearest sibling",
    "policy": "the silo's policy does not allow it",
    "protocol": "the task does not fit its kind",
    "schema": "the relation or a column is not published",
    "silo": "the task is for another silo",
    "small": "fewer customers than min_customers",
    "unchanged": "fewer customers changed than min_changed_customers: an earlier answer again",
}
"""Every reason code of a reply, and what it means."""


class RefusalError(HanseError):
    """A task that is not answered.

    Args:
        code: one of :data:`CODES`.
        message: for the coordinator; names no counts and no values of rows.
        statistic: which array.
        detail: for the silo's own ledger; may say more.
        status: ``refused`` by a rule, or ``failed``.
        lasting: whether the same task would be refused again.
    """

    def __init__(
        self,
        code: str,
        message: str,
        *,
        statistic: str = "",
        detail: str = "",
        status: Status = "refused",
        lasting: bool = False,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.statistic = statistic
        self.detail = detail
        self.status = status
        self.lasting = lasting
