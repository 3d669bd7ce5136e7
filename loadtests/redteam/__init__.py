"""Model extraction, tried over HTTP: each attack against bare vLLM, Sluice with its guard off, and Sluice."""
