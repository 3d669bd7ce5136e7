"""Simulated traffic as whole key-days: honest families and attacks, deterministic from a seed. No server is involved."""
