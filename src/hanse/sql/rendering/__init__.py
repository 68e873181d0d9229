"""How Spark's meaning is written for DuckDB: types, scopes, and one file of rewrites per family of functions.

What cannot be carried over is refused by name (``refusals.py``, and ``UnsupportedError`` wherever a form has no
equal). What is rendered answers as Spark does with ANSI mode off and the time zone UTC, but for this:

- an integer that overflows is an error of the engine, where Spark wraps around; so is a DECIMAL sum or difference;
- a quotient of DECIMALs is exact to 15 digits after the point;
- ``percentile_approx`` is exact, whatever accuracy is asked for;
- ``upper`` and ``initcap`` leave letters that become two (``ß``) one letter;
- regular expressions are RE2's; a literal that looks around or refers back is refused, a computed one is not seen;
- ``to_date`` and ``to_timestamp`` with a pattern take one digit where the pattern asks for two;
- what has no order in Spark (``first``, ``collect_list``, ``collect_set`` without ORDER BY) has none here either.
"""
