"""The engine pool: vLLM's EngineCoreClient over any number of engine replicas, reached over ZeroMQ CURVE."""
