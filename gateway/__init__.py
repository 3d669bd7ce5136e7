"""Sluice's serving tier: all that stands between a client's socket and an engine."""

__version__ = "0.1.0"
