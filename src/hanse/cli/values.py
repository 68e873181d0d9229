"""Values as JSON, CSV and tables show them.

JSON and CSV keep every value exactly: dates and timestamps as ISO 8601, bytes as hex, NaN and the infinities as the
strings NaN, Infinity and -Infinity, structs and maps as objects, intervals as ISO 8601 durations. A decimal is a number
where a double holds it (15 digits), and a string of all its digits elsewhere. Tables round for the eye.
"""

from __future__ import annotations

import datetime
import decimal
import math
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Convert", "cell", "converter", "csv_field", "is_number", "json_bytes", "plain_columns"]

Convert = Callable[[Any], Any]

_EXACT_DIGITS = 15
_EXACT_WHOLE = 2**53


def plain_columns(batch: pa.RecordBatch) -> list[list[Any]]:
    """A batch's columns as lists of values that JSON can hold."""
    columns = []
    for column in batch.columns:
        values = _values(_microseconds(column))
        convert = converter(column.type)
        columns.append(values if convert is None else [None if v is None else convert(v) for v in values])
    return columns


def _values(column: pa.Array) -> list[Any]:
    """As Python has them; dates and times beyond the years 1 to 9999, which it has not, as texts."""
    try:
        return cast("list[Any]", column.to_pylist())
    except OverflowError:
        return cast("list[Any]", column.cast(_as_texts(column.type)).to_pylist())


def _as_texts(kind: pa.DataType) -> pa.DataType:
    """A type with texts for its dates and times."""
    import pyarrow as pa

    types = pa.types
    if types.is_map(kind):
        return pa.map_(_as_texts(kind.key_type), _as_texts(kind.item_type))
    if types.is_struct(kind):
        return pa.struct([pa.field(field.name, _as_texts(field.type)) for field in kind])
    if types.is_list(kind) or types.is_large_list(kind):
        return pa.list_(_as_texts(kind.value_type))
    return pa.string() if types.is_date(kind) or types.is_timestamp(kind) else kind


def json_bytes(value: Any) -> bytes:
    """JSON text."""
    import msgspec

    return msgspec.json.encode(value, enc_hook=str)


def _microseconds(column: pa.Array) -> pa.Array:
    """Python's datetime has no nanoseconds."""
    import pyarrow as pa

    if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
        return column.cast(pa.timestamp("us", column.type.tz), safe=False)
    return column


def converter(kind: pa.DataType) -> Convert | None:
    """What makes a value of this type fit for JSON; None if it is so already."""
    import pyarrow as pa

    types = pa.types
    if types.is_floating(kind):
        return _float
    if types.is_decimal(kind):
        return _decimal
    if types.is_binary(kind) or types.is_large_binary(kind) or types.is_fixed_size_binary(kind):
        return bytes.hex
    if types.is_interval(kind):
        return _interval
    if types.is_timestamp(kind) and kind.unit == "ns":
        return datetime.datetime.isoformat
    if types.is_map(kind):
        return _map(converter(kind.item_type))
    if types.is_struct(kind):
        return _struct({field.name: converter(field.type) for field in kind})
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return _list(converter(kind.value_type))
    if types.is_dictionary(kind):
        return converter(kind.value_type)
    return None


def _float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def _decimal(value: decimal.Decimal) -> int | float | str:
    if value == value.to_integral_value():
        whole = int(value)
        return whole if abs(whole) <= _EXACT_WHOLE else f"{value:f}"
    digits = "".join(map(str, value.as_tuple().digits)).strip("0")
    return float(value) if len(digits) <= _EXACT_DIGITS else f"{value:f}"


def _interval(value: Any) -> str:
    """An ISO 8601 duration, such as ``P1M2DT3.5S``."""
    months, days, nanoseconds = value
    date = (f"{months}M" if months else "") + (f"{days}D" if days else "")
    if not nanoseconds:
        return f"P{date}" if date else "PT0S"
    seconds = f"{decimal.Decimal(nanoseconds).scaleb(-9).normalize():f}"
    return f"P{date}T{seconds}S"


def _map(convert: Convert | None) -> Convert:
    def plain(pairs: Any) -> dict[str, Any]:
        return {_key(k): v if convert is None or v is None else convert(v) for k, v in pairs}

    return plain


def _key(key: Any) -> str:
    return key if isinstance(key, str) else json_bytes(key).decode().strip('"')


def _struct(converts: dict[str, Convert | None]) -> Convert | None:
    needed = {name: convert for name, convert in converts.items() if convert is not None}
    if not needed:
        return None

    def plain(fields: dict[str, Any]) -> dict[str, Any]:
        return {
            name: needed[name](value) if name in needed and value is not None else value
            for name, value in fields.items()
        }

    return plain


def _list(convert: Convert | None) -> Convert | None:
    if convert is None:
        return None
    return lambda items: [None if item is None else convert(item) for item in items]


def csv_field(value: Any) -> str:
    """A plain value as one field of a CSV row; NULL is empty, an empty text is ``\"\"``."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else json_bytes(value).decode()
    if not isinstance(value, str | dict | list):
        return text.strip('"')
    if text == "" or any(c in text for c in ',"\r\n') or text[0] == " " or text[-1] == " ":
        return '"' + text.replace('"', '""') + '"'
    return text


def is_number(kind: pa.DataType) -> bool:
    """Whether a column is read best when its right ends stand in line."""
    import pyarrow as pa

    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def cell(value: Any, limit: int) -> str:
    """A plain value as a table shows it: floats to six digits, no control characters.

    Args:
        value: as `plain_columns` gives it.
        limit: the most characters; 0 shows all.
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return _short(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, dict | list):
        value = json_bytes(_rounded(value)).decode()
    text = "".join(_visible(str(value)))
    return text if not limit or len(text) <= limit else text[: limit - 1] + "…"


def _short(value: float) -> str:
    if abs(value) < 1e6 or abs(value) >= 1e15:
        return f"{value:.6g}"
    return f"{value:.0f}"


def _rounded(value: Any) -> Any:
    if isinstance(value, float):
        return float(_short(value))
    if isinstance(value, dict):
        return {key: _rounded(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_rounded(inner) for inner in value]
    return value


def _visible(text: Sequence[str]) -> Iterator[str]:
    for char in text:
        yield char if char.isprintable() else char.encode("unicode_escape").decode()
