"""The audit trail: hash-chained records of every security decision, and the proof that none was changed or taken out."""
