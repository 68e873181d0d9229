"""Spark SQL with the meaning it has with ANSI mode off, written out, so that no setting of the user's session matters.

The script is Spark SQL already. What changes by setting is written in another way: a division that may meet zero
(``try_divide``), an index (``get``), a cast (``try_cast``, or what Java does), a cast that nobody wrote. Types and
implicit casts come from the binding that rendering to DuckDB does (:mod:`hanse.sql.rendering.notes`), so that both
engines accept the same statements and refuse the others with the same words.

An integer that overflows is an error, as on DuckDB: Spark's own answer, to wrap around, would be a wrong number.
"""
