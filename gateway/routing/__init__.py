"""Choosing an engine replica for a request: pure arithmetic over snapshots."""
