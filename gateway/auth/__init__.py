"""API keys: hashed, scoped, expiring, and revocable while the gateways run."""
