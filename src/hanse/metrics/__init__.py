"""Measures of a model's quality, from additive statistics."""
