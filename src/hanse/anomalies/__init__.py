"""Anomalies a person can act on: scores, explanations, descriptions and the comparison of two models; no I/O."""
