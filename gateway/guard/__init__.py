"""The guard against model extraction: exclusion, leak budgets, sketches of traffic, a score, and a graduated response."""
