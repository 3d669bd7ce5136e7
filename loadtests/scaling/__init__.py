"""Autoscaling with real Serve: load rises and falls on this machine, and what happened is set beside its simulation."""
