"""Who may start now, who waits in which order, and who is told to come back when: one bounded fair queue for each model."""
