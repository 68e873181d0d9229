"""Functions of dates, timestamps and intervals; everything is in UTC."""

from __future__ import annotations

import re
from collections.abc import Callable

from sqlglot import exp

from hanse.sql.rendering.call import Call, Function, plain, refused
from hanse.sql.rendering.casts import coerce
from hanse.sql.rendering.date_patterns import Reading, format_pattern, parse_pattern
from hanse.sql.rendering.scope import Scope
from hanse.sql.rendering.templates import cast_to, duck, text
from hanse.sql.rendering.types import (
    BIGINT,
    DATE,
    DOUBLE,
    INT,
    INTERVAL,
    INTERVAL_DAYS,
    INTERVAL_MONTHS,
    STRING,
    TIMESTAMP,
    Type,
    decimal,
)
from hanse.sql.rendering.values import Value, misfit, settle, unsupported

__all__ = ["DATES", "interval"]

Build = Callable[[Call], Value]

_NOW = "timezone('UTC', now())"
_UNITS: dict[str, tuple[str, Type]] = {
    "YEAR": ("to_years({0})", INTERVAL_MONTHS),
    "QUARTER": ("to_months({0} * 3)", INTERVAL_MONTHS),
    "MONTH": ("to_months({0})", INTERVAL_MONTHS),
    "WEEK": ("to_weeks({0})", INTERVAL_DAYS),
    "DAY": ("to_days({0})", INTERVAL_DAYS),
    "HOUR": ("to_hours({0})", INTERVAL),
    "MINUTE": ("to_minutes({0})", INTERVAL),
    "SECOND": ("to_seconds({0})", INTERVAL),
    "MILLISECOND": ("to_milliseconds({0})", INTERVAL),
    "MICROSECOND": ("to_microseconds({0})", INTERVAL),
}
_TRUNCATIONS = {
    "YEAR": "year", "YYYY": "year", "YY": "year", "QUARTER": "quarter", "MONTH": "month", "MON": "month",
    "MM": "month", "WEEK": "week", "DAY": "day", "DD": "day", "HOUR": "hour", "MINUTE": "minute",
    "SECOND": "second", "MILLISECOND": "milliseconds", "MICROSECOND": "microseconds",
}  # fmt: skip
_DATE_TRUNCATIONS = ("YEAR", "YYYY", "YY", "QUARTER", "MONTH", "MON", "MM", "WEEK")


def _unit(name: str) -> str:
    upper = name.upper()
    return upper[:-1] if upper.endswith("S") and upper[:-1] in _UNITS else {"DAYOFYEAR": "DAY"}.get(upper, upper)


def interval(node: exp.Expr, scope: Scope, bind: Callable[[exp.Expr, Scope], Value]) -> Value:
    """``INTERVAL 3 DAYS``."""
    unit = node.args.get("unit")
    if not isinstance(unit, exp.Var) or _unit(unit.name) not in _UNITS:
        raise unsupported(node, f"{node.sql(dialect='spark')}", "write a sum of intervals of one unit each")
    template, type_ = _UNITS[_unit(unit.name)]
    amount = node.this
    if isinstance(amount, exp.Literal) and amount.is_string:
        return Value(_literal_interval(amount, template, node), type_)
    count = settle(bind(amount, scope))
    if not count.type.is_integral:
        raise misfit(node, f"an interval of {count.type}", "need a whole number")
    return Value(duck(template, count.sql), type_)


def _literal_interval(amount: exp.Literal, template: str, node: exp.Expr) -> exp.Expression:
    given = amount.name.strip()
    try:
        number = float(given) if "." in given and "seconds" in template else int(given)
    except ValueError:
        raise misfit(node, f"INTERVAL {amount.name!r}", "need a whole number") from None
    return duck(template, exp.Literal.number(abs(number)) if number >= 0 else duck(f"-{abs(number)}"))


def _temporal(call: Call, index: int) -> Value:
    """A date or timestamp as it is; anything else as a timestamp."""
    value = call.value(index)
    return value if value.type.kind in ("date", "timestamp") else call.as_type(index, TIMESTAMP)


def _part(template: str, needs: Type = DATE) -> Function:
    def build(call: Call) -> Value:
        value = _temporal(call, 0) if needs == DATE and call.value(0).type.kind != "string" else call.as_type(0, needs)
        return Value(duck(f"CAST({template} AS INTEGER)", value.sql), INT)

    return Function(1, 1, build)


_PARTS: dict[str, Function] = {
    "year": _part("year({0})"),
    "quarter": _part("quarter({0})"),
    "month": _part("month({0})"),
    "weekofyear": _part("weekofyear({0})"),
    "day": _part("day({0})"),
    "dayofweek": _part("dayofweek({0}) + 1"),
    "weekday": _part("isodow({0}) - 1"),
    "dayofyear": _part("dayofyear({0})"),
    "hour": _part("hour({0})", TIMESTAMP),
    "minute": _part("minute({0})", TIMESTAMP),
    "second": _part("second({0})", TIMESTAMP),
}
_FIELDS = {
    "YEAR": "year", "Y": "year", "YEARS": "year", "YR": "year", "QUARTER": "quarter", "QTR": "quarter",
    "MONTH": "month", "MON": "month", "MONTHS": "month", "WEEK": "weekofyear", "W": "weekofyear", "DAY": "day",
    "D": "day", "DAYS": "day", "DAYOFWEEK": "dayofweek", "DOW": "dayofweek", "DOY": "dayofyear", "HOUR": "hour",
    "H": "hour", "HOURS": "hour", "MINUTE": "minute", "M": "minute", "MINUTES": "minute",
}  # fmt: skip


def _extract(call: Call) -> Value:
    head = call.nodes[0]
    field = (head.name if isinstance(head, (exp.Var, exp.Column, exp.Literal)) else "").upper()
    inner = Call(call.name, call.node, call.nodes[1:], call.scope, call.bind)
    if field in ("SECOND", "S", "SECONDS"):
        value = inner.as_type(0, TIMESTAMP)
        sql = duck("CAST((microsecond({0})) / 1000000 AS DECIMAL(8, 6))", value.sql)
        return Value(sql, decimal(8, 6))
    if field in ("DOW_ISO", "DAYOFWEEK_ISO"):
        return Value(duck("CAST(isodow({0}) AS INTEGER)", _temporal(inner, 0).sql), INT)
    if field not in _FIELDS:
        raise unsupported(head, f"EXTRACT({field or head.sql(dialect='spark')} FROM ...)", "use year, month, day ...")
    return _PARTS[_FIELDS[field]].build(inner)


def _date_add(sign: str) -> Build:
    def build(call: Call) -> Value:
        if len(call) == 3:
            return _timestamp_add(call)
        value, days = call.as_type(0, DATE), call.value(1)
        if days.type.is_interval:
            raise misfit(call.nodes[1], f"{call.name} of an interval", f"write date {sign} INTERVAL ...")
        return Value(duck(f"{{0}} {sign} {{1}}", value.sql, coerce(days, INT, call.node).sql), DATE)

    return build


def _unit_argument(call: Call) -> str:
    head = call.nodes[0]
    unit = _unit(head.name) if isinstance(head, (exp.Column, exp.Var, exp.Literal)) else ""
    if unit not in _UNITS:
        known = ", ".join(_UNITS)
        raise misfit(head, f"the unit {head.sql(dialect='spark')} in {call.name}", f"valid: {known}")
    return unit


def _timestamp_add(call: Call) -> Value:
    template, _ = _UNITS[_unit_argument(call)]
    count, value = call.as_type(1, INT), call.as_type(2, TIMESTAMP)
    return Value(duck("{0} + {1}", value.sql, duck(template, count.sql)), TIMESTAMP)


_MONTHS = (
    "(((year({1}) * 12 + month({1})) * 32 + day({1})) - ((year({0}) * 12 + month({0})) * 32 + day({0}))) // {DIVISOR}"
)
"""Whole months between days, as Java counts them: the day of the month must be reached."""
_REACHED = (
    "CAST({1} AS DATE)"
    " - CASE WHEN CAST({1} AS DATE) > CAST({0} AS DATE) AND CAST({1} AS TIME) < CAST({0} AS TIME) THEN 1"
    " WHEN CAST({1} AS DATE) < CAST({0} AS DATE) AND CAST({1} AS TIME) > CAST({0} AS TIME) THEN -1 ELSE 0 END"
)
"""The last day whose time of day is reached, counted from a timestamp."""


def _difference(call: Call) -> Value:
    if len(call) == 2:
        end, start = call.as_type(0, DATE), call.as_type(1, DATE)
        return Value(duck("CAST({0} - {1} AS INTEGER)", end.sql, start.sql), INT)
    unit = _unit_argument(call)
    if unit in ("MONTH", "QUARTER", "YEAR"):
        start, end = _temporal(call, 1), _temporal(call, 2)
        last = end.sql
        if not start.type.kind == end.type.kind == "date":
            start, end = call.as_type(1, TIMESTAMP), call.as_type(2, TIMESTAMP)
            last = duck(_REACHED, start.sql, end.sql)
        divisor = 32 * {"MONTH": 1, "QUARTER": 3, "YEAR": 12}[unit]
        return Value(duck(_MONTHS.replace("{DIVISOR}", str(divisor)), start.sql, last), BIGINT)
    start, end = call.as_type(1, TIMESTAMP), call.as_type(2, TIMESTAMP)
    if unit in ("MICROSECOND", "MILLISECOND"):
        divisor = 1 if unit == "MICROSECOND" else 1000
        return Value(duck(f"(epoch_us({{1}}) - epoch_us({{0}})) // {divisor}", start.sql, end.sql), BIGINT)
    seconds = {"WEEK": 604800, "DAY": 86400, "HOUR": 3600, "MINUTE": 60, "SECOND": 1}[unit]
    return Value(duck(f"(epoch_us({{1}}) - epoch_us({{0}})) // {seconds * 1000000}", start.sql, end.sql), BIGINT)


def _add_months(call: Call) -> Value:
    value, months = call.as_type(0, DATE), call.as_type(1, INT)
    return Value(cast_to(duck("{0} + to_months({1})", value.sql, months.sql), DATE), DATE)


_BETWEEN = (
    "CASE WHEN day({0}) = day({1}) OR (CAST({0} AS DATE) = last_day({0}) AND CAST({1} AS DATE) = last_day({1})) "
    "THEN CAST((year({0}) * 12 + month({0})) - (year({1}) * 12 + month({1})) AS DOUBLE) "
    "ELSE (year({0}) * 12 + month({0})) - (year({1}) * 12 + month({1})) "
    "+ (floor(epoch({0} - date_trunc('month', {0}))) - floor(epoch({1} - date_trunc('month', {1})))) / 2678400 END"
)


def _months_between(call: Call) -> Value:
    later, earlier = call.as_type(0, TIMESTAMP), call.as_type(1, TIMESTAMP)
    exact = duck(_BETWEEN, later.sql, earlier.sql)
    if len(call) > 2:
        flag = call.nodes[2]
        if not isinstance(flag, exp.Boolean):
            raise unsupported(flag, "months_between with a computed rounding", "write TRUE or FALSE")
        if not flag.this:
            return Value(exact, DOUBLE)
    return Value(duck("round({0}, 8)", exact), DOUBLE)


def _truncate_date(call: Call) -> Value:
    value, unit = call.as_type(0, DATE), call.text(1).upper()
    if unit not in _DATE_TRUNCATIONS:
        return Value(cast_to(exp.Null(), DATE), DATE)
    return Value(cast_to(duck(f"date_trunc('{_TRUNCATIONS[unit]}', {{0}})", value.sql), DATE), DATE)


def _truncate_timestamp(call: Call) -> Value:
    unit, value = call.text(0).upper(), call.as_type(1, TIMESTAMP)
    if unit not in _TRUNCATIONS:
        return Value(cast_to(exp.Null(), TIMESTAMP), TIMESTAMP)
    return Value(duck(f"date_trunc('{_TRUNCATIONS[unit]}', {{0}})", value.sql), TIMESTAMP)


def _to(type_: Type) -> Build:
    def build(call: Call) -> Value:
        if len(call) == 1:
            return call.as_type(0, type_)
        value = call.value(0)
        if value.type.kind in ("date", "timestamp"):
            return call.as_type(0, type_)
        parsed = _parsed(call.as_type(0, STRING), parse_pattern(call.text(1), call.nodes[1]))
        return Value(cast_to(parsed, DATE) if type_ == DATE else parsed, type_)

    return build


def _parsed(value: Value, reading: Reading) -> exp.Expression:
    """A text as a timestamp, or NULL where it does not have the shape that its pattern asks for."""
    given = value.sql
    if reading.before:
        given = duck("{0} || {1}", text(reading.before), given)
    if reading.after:
        given = duck("{0} || {1}", given, text(reading.after))
    parsed = duck("try_strptime({0}, {1})", given, text(reading.format))
    if reading.short_year:
        parsed = duck("CASE WHEN year({0}) < 2000 THEN {0} + to_years(100) ELSE {0} END", parsed)
    if value.literal is not None and re.fullmatch(reading.shape, value.literal, re.ASCII):
        return parsed
    return duck("CASE WHEN regexp_full_match({0}, {1}) THEN {2} END", value.sql, text(reading.shape), parsed)


def _date_format(call: Call) -> Value:
    value = call.as_type(0, TIMESTAMP)
    return Value(duck("strftime({0}, {1})", value.sql, text(format_pattern(call.text(1), call.nodes[1]))), STRING)


def _from_unixtime(call: Call) -> Value:
    seconds = call.as_type(0, BIGINT)
    pattern = format_pattern(call.text(1), call.nodes[1]) if len(call) > 1 else "%Y-%m-%d %H:%M:%S"
    moment = duck("make_timestamp({0} * 1000000)", seconds.sql)
    return Value(duck("strftime({0}, {1})", moment, text(pattern)), STRING)


def _unix_timestamp(call: Call) -> Value:
    if not len(call):
        return Value(duck("CAST(floor(epoch(now())) AS BIGINT)"), BIGINT)
    value = call.value(0)
    if value.type.kind in ("date", "timestamp"):
        moment = call.as_type(0, TIMESTAMP).sql
    else:
        pattern = call.text(1) if len(call) > 1 else "yyyy-MM-dd HH:mm:ss"
        moment = _parsed(call.as_type(0, STRING), parse_pattern(pattern, call.nodes[-1]))
    return Value(duck("CAST(floor(epoch({0})) AS BIGINT)", moment), BIGINT)


def _next_day(call: Call) -> Value:
    days = ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
    value, name = call.as_type(0, DATE), call.text(1).strip().upper()
    known = [number for number, day in enumerate(days, 1) if name in (day[:2], day[:3], day)]
    if not known:
        return Value(cast_to(exp.Null(), DATE), DATE)
    wanted = known[0]
    return Value(duck(f"{{0}} + CAST(7 - (isodow({{0}}) - {wanted} + 7) % 7 AS INTEGER)", value.sql), DATE)


def _make_timestamp(call: Call) -> Value:
    if len(call) > 6:
        raise unsupported(call.nodes[6], "make_timestamp with a time zone", "use to_utc_timestamp")
    parts = [call.as_type(i, BIGINT).sql for i in range(5)]
    sql = duck("TRY(make_timestamp({0}, {1}, {2}, {3}, {4}, {5}))", *parts, call.as_type(5, DOUBLE).sql)
    hour = call.value(3).integer
    if hour is None or hour > 23:  # DuckDB knows 24:00:00
        sql = duck("CASE WHEN {0} < 24 THEN {1} END", parts[3], sql)
    return Value(sql, TIMESTAMP)


def _timestamp_seconds(call: Call) -> Value:
    """Seconds since 1970, with the microseconds of a fraction; NULL for what is no number of seconds."""
    value = call.value(0)
    if value.type.kind in ("decimal", "double", "float"):
        seconds = value if value.type.kind == "decimal" else coerce(value, DOUBLE, call.node)
        return Value(duck("make_timestamp(TRY_CAST(trunc({0} * 1000000) AS BIGINT))", seconds.sql), TIMESTAMP)
    return Value(duck("make_timestamp({0} * 1000000)", call.as_type(0, BIGINT).sql), TIMESTAMP)


def _zone(template: str) -> Function:
    return plain(template, TIMESTAMP, STRING, returns=TIMESTAMP)


def _moment(name: str) -> Function:
    return Function(0, 0, lambda call: Value(duck(_NOW), TIMESTAMP))


def _today(call: Call) -> Value:
    return Value(cast_to(duck(_NOW), DATE), DATE)


def _epoch(divisor: int) -> Function:
    return plain(
        "epoch_us({0})" if divisor == 1 else f"CAST(floor(epoch_us({{0}}) / {divisor}) AS BIGINT)",
        TIMESTAMP,
        returns=BIGINT,
    )


DATES: dict[str, Function] = {
    **_PARTS,
    "extract": Function(2, 2, _extract),
    "date_part": Function(2, 2, _extract),
    "current_date": Function(0, 0, _today),
    "current_timestamp": _moment("current_timestamp"),
    "date_add": Function(2, 3, _date_add("+")),
    "date_sub": Function(2, 2, _date_add("-")),
    "timestampadd": Function(3, 3, _timestamp_add),
    "datediff": Function(2, 3, _difference),
    "timestampdiff": Function(3, 3, _difference),
    "add_months": Function(2, 2, _add_months),
    "months_between": Function(2, 3, _months_between),
    "last_day": plain("last_day({0})", DATE, returns=DATE),
    "next_day": Function(2, 2, _next_day),
    "trunc": Function(2, 2, _truncate_date),
    "date_trunc": Function(2, 2, _truncate_timestamp),
    "to_date": Function(1, 2, _to(DATE)),
    "to_timestamp": Function(1, 2, _to(TIMESTAMP)),
    "date_format": Function(2, 2, _date_format),
    "from_unixtime": Function(1, 2, _from_unixtime),
    "unix_timestamp": Function(0, 2, _unix_timestamp),
    "unix_date": plain("CAST({0} - DATE '1970-01-01' AS INTEGER)", DATE, returns=INT),
    "date_from_unix_date": plain("DATE '1970-01-01' + {0}", INT, returns=DATE),
    "unix_seconds": _epoch(1000000),
    "unix_millis": _epoch(1000),
    "unix_micros": _epoch(1),
    "timestamp_seconds": Function(1, 1, _timestamp_seconds),
    "timestamp_millis": plain("make_timestamp({0} * 1000)", BIGINT, returns=TIMESTAMP),
    "timestamp_micros": plain("make_timestamp({0})", BIGINT, returns=TIMESTAMP),
    "make_date": plain("TRY(make_date({0}, {1}, {2}))", BIGINT, BIGINT, BIGINT, returns=DATE),
    "make_timestamp": Function(6, 7, _make_timestamp),
    "from_utc_timestamp": _zone("timezone({1}, timezone('UTC', {0}))"),
    "to_utc_timestamp": _zone("timezone('UTC', timezone({1}, {0}))"),
    "dayname": plain("substring(dayname({0}), 1, 3)", DATE, returns=STRING),
    "monthname": plain("substring(monthname({0}), 1, 3)", DATE, returns=STRING),
    "make_interval": refused("write INTERVAL 3 DAYS"),
    "make_dt_interval": refused("write INTERVAL 3 DAYS"),
    "make_ym_interval": refused("write INTERVAL 3 MONTHS"),
    "convert_timezone": refused("use from_utc_timestamp or to_utc_timestamp"),
}
_ALIASES = {
    "dateadd": "date_add",
    "date_diff": "datediff",
    "dayofmonth": "day",
    "now": "current_timestamp",
    "localtimestamp": "current_timestamp",
    "curdate": "current_date",
    "to_unix_timestamp": "unix_timestamp",
    "datepart": "date_part",
    "try_to_timestamp": "to_timestamp",
    "try_to_date": "to_date",
}
DATES.update({alias: DATES[name] for alias, name in _ALIASES.items()})
