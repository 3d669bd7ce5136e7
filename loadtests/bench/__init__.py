"""`python -m loadtests.bench`: Sluice beside bare vLLM, on one machine in one run."""
