"""Files to load: which format they are of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from hanse.errors import UsageError, nearest

__all__ = ["format_of"]

_FORMATS = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "json", ".ndjson": "json"}


def format_of(files: Sequence[Path]) -> str:
    """The one format of files, by their endings: ``parquet``, ``csv`` or ``json``.

    Raises:
        UsageError: no file, an unknown ending, several formats, or a file that is not there.
    """
    if not files:
        raise UsageError("no file to load: name at least one")
    formats = set()
    for file in files:
        suffixes = [s.lower() for s in file.suffixes]
        suffix = suffixes[-2] if suffixes[-1:] == [".gz"] and len(suffixes) > 1 else (suffixes or [""])[-1]
        if suffix not in _FORMATS:
            raise UsageError(f"{file}: unknown ending {suffix or '(none)'}; {nearest(suffix or '?', _FORMATS)}")
        if not any(ch in str(file) for ch in "*?[") and not file.exists():
            raise UsageError(f"{file} does not exist: check the path")
        formats.add(_FORMATS[suffix])
    if len(formats) > 1:
        raise UsageError("the files are of several formats: load them into a table each")
    return formats.pop()
