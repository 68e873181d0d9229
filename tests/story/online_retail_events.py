"""The UCI Online Retail data as XDM events for the story's tests, made by the example's own encoder."""

from __future__ import annotations

import datetime
import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Final

__all__ = ["END_DATE", "EXAMPLE", "ROOT", "SOURCE", "START_DATE", "country_store", "encode", "two_stores"]

ROOT: Final = Path(__file__).resolve().parents[2]
"""The repository."""

SOURCE: Final = ROOT.parent / "shared" / "data" / "online_retail.parquet"
"""The data; it is not part of the repository, so tests skip where it is absent."""

START_DATE: Final = datetime.date(2010, 12, 1)
END_DATE: Final = datetime.date(2011, 12, 10)

EXAMPLE: Final = ROOT / "examples" / "online_retail" / "encode.py"


def _example() -> ModuleType:
    spec = importlib.util.spec_from_file_location("online_retail_encode", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


_MODULE: Final = _example()

encode = _MODULE.encode
two_stores = _MODULE.two_stores
country_store = _MODULE.country_store
