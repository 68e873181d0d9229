"""Hanse's SQL: what a script parses to, and how its queries are written for an engine."""
