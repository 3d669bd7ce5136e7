"""The outside of the gateway: what may come in over HTTP, and how answers and errors look."""
