"""The small value types that every layer shares."""

from __future__ import annotations

import datetime
import decimal
from collections.abc import Callable, Mapping

__all__ = ["JsonValue", "Parameters", "Progress", "Value"]

Value = None | bool | int | float | str | decimal.Decimal | datetime.date | datetime.datetime
"""A typed value that a ``$parameter`` may take."""

Parameters = Mapping[str, Value]
"""Parameters by name, without the ``$``."""

JsonValue = None | bool | int | float | str | list["JsonValue"] | dict[str, "JsonValue"]
"""What an artifact is made of."""

Progress = Callable[[str, Mapping[str, float]], None]
"""Called as ``progress(step, numbers)`` on each round of long work; must be cheap."""
