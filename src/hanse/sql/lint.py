"""What is legal and probably not meant: warnings about a query."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from typing import Final

from sqlglot import exp

from hanse.sql.nodes import position_of
from hanse.sql.rendering.notes import cast_of
from hanse.sql.rendering.types import Type

__all__ = ["cross_join_warnings", "lost_text_warnings"]

_DAY: Final = re.compile(r"\s*[+-]?(\d{4,})(?:-(\d\d?)(?:-(\d\d?)(?:[ T].*)?)?)?\s*", re.DOTALL)
_TIME: Final = re.compile(r"\s*T?\d\d?:.*", re.DOTALL)
_NUMBER: Final = re.compile(r"\s*[+-]?(?:(?:\d+\.?\d*|\.\d*)(?:e[+-]?\d+)?[df]?|inf(?:inity)?|nan)\s*", re.IGNORECASE)
_LONGEST: Final = 40
_CURES: Final = {
    "date": "write a date, such as '2011-10-01'",
    "timestamp": "write a timestamp, such as '2011-10-01 12:30:00'",
}


def lost_text_warnings(rendered: exp.Query) -> Iterator[str]:
    """Texts that stand where a date, a timestamp or a number is wanted, and are none: as in Spark they are NULL.

    Args:
        rendered: the script's tree, with the casts noted on it that nobody wrote.
    """
    told: set[str] = set()
    for literal in rendered.find_all(exp.Literal):
        wanted = cast_of(literal) if literal.is_string else None
        if wanted is None or _can_be(literal.name, wanted):
            continue
        place = position_of(literal)
        where = f" at {place}" if place else ""
        text = literal.name if len(literal.name) <= _LONGEST else literal.name[:_LONGEST] + "..."
        cure = _CURES.get(wanted.kind, "write a number")
        warning = f"the text '{text}'{where} is no {wanted}, which is wanted there, so it counts as NULL: {cure}"
        if warning not in told:
            told.add(warning)
            yield warning


def _can_be(text: str, wanted: Type) -> bool:
    """False where a text is surely no value of a type."""
    if wanted.is_numeric:
        return _NUMBER.fullmatch(text) is not None
    if wanted.kind not in ("date", "timestamp"):
        return True
    found = _DAY.fullmatch(text)
    if found is None:
        return wanted.kind == "timestamp" and _TIME.fullmatch(text) is not None
    year, month, day = (int(part or 1) for part in found.groups())
    try:
        datetime.date(year if year in range(1, 10_000) else 2000, month, day)
    except ValueError:
        return False
    return True


def cross_join_warnings(tree: exp.Query) -> Iterator[str]:
    """Cross joins of two grouped relations that were grouped by a column of the same name.

    Each group of one then meets every group of the other: features scaled by other stores' moments, say.
    """
    for select in tree.find_all(exp.Select):
        sources = _unconditioned(select)
        for i, first in enumerate(sources):
            for second in sources[i + 1 :]:
                shared = sorted(_grouped_by(first) & _grouped_by(second))
                for column in shared:
                    if not _equated(select, first, second):
                        place = position_of(second)
                        where = f" at {place}" if place else ""
                        yield (
                            "cross join between two grouped relations that share the grouping column "
                            f"{column}{where}: {first.alias_or_name} and {second.alias_or_name} have no join "
                            "condition, "
                            f"so rows of different {column} meet; add ON {first.alias_or_name}.{column} = "
                            f"{second.alias_or_name}.{column}, or filter to one {column}"
                        )


def _unconditioned(select: exp.Select) -> list[exp.Table | exp.Subquery]:
    """The relations in FROM, and those joined without ON and USING."""
    found = []
    from_ = select.args.get("from_")
    if from_ is not None and isinstance(from_.this, exp.Table | exp.Subquery):
        found.append(from_.this)
    for join in select.args.get("joins") or ():
        bare = not join.args.get("on") and not join.args.get("using") and join.method.upper() != "NATURAL"
        if bare and isinstance(join.this, exp.Table | exp.Subquery):
            found.append(join.this)
    return found


def _grouped_by(source: exp.Expression) -> set[str]:
    """The output columns by which a relation's query groups, lower case."""
    query = _query_of(source)
    if not isinstance(query, exp.Select):
        return set()
    group = query.args.get("group")
    if group is None:
        return set()
    names = set()
    outputs = {p.alias_or_name.lower(): p for p in query.expressions if p.alias_or_name}
    for term in group.expressions:
        if isinstance(term, exp.Column) and not term.table:
            names.add(term.name.lower())
        else:
            names |= {name for name, p in outputs.items() if p.unalias() == term}
    return names & set(outputs)


def _query_of(source: exp.Expression) -> exp.Expression | None:
    """The query behind a subquery or a common table expression's name."""
    if isinstance(source, exp.Subquery):
        return source.this if isinstance(source.this, exp.Expression) else None
    name = source.name.lower()
    node = source.parent
    while node is not None:
        with_ = node.args.get("with_")
        for cte in with_.expressions if with_ is not None else ():
            if cte.alias.lower() == name:
                return cte.this if isinstance(cte.this, exp.Expression) else None
        node = node.parent
    return None


def _equated(select: exp.Select, first: exp.Expression, second: exp.Expression) -> bool:
    """Whether WHERE compares a column of one relation with a column of the other."""
    where = select.args.get("where")
    names = {first.alias_or_name.lower(), second.alias_or_name.lower()}
    for equality in where.find_all(exp.EQ, exp.NullSafeEQ) if where is not None else ():
        sides = (equality.this, equality.expression)
        if all(isinstance(s, exp.Column) and s.table for s in sides) and {s.table.lower() for s in sides} == names:
            return True
    return False
