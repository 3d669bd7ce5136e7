"""Pure policies against recorded arrivals: no server, no clock, no randomness but a seed's."""
