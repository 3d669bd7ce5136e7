"""The operators' page at /console on the management port, and what it reads."""
