"""Everything that puts traffic on the system, over HTTP only."""
