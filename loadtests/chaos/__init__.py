"""`python -m loadtests.chaos`: parts of a running Sluice are killed, stopped and cut off under load, and no stream may notice."""
