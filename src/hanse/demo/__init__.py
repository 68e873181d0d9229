"""FitFashionMart: the demo's events, made from a seed with planted anomalies, and the story's scripts."""

from __future__ import annotations

from typing import Final

from hanse.demo.generator import MINIMUM_EVENTS, generate, truth
from hanse.demo.scripts import story
from hanse.demo.stores import END_DATE, KINDS, START_DATE, STORES, Store
from hanse.demo.writer import EVENTS_FILE, PLANTED_FILE, Written, write

__all__ = [
    "END_DATE",
    "EVENTS_FILE",
    "EVENTS_TABLE",
    "KINDS",
    "MINIMUM_EVENTS",
    "PLANTED_FILE",
    "PLANTED_TABLE",
    "START_DATE",
    "STORES",
    "Store",
    "Written",
    "generate",
    "story",
    "truth",
    "write",
]

EVENTS_TABLE: Final = "hbi_web_events_v1"
"""What the story calls the events."""

PLANTED_TABLE: Final = "planted_anomalies"
"""What the story calls the ground truth."""
