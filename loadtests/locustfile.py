"""`locust -f loadtests/locustfile.py --host http://127.0.0.1:8080`, with SLUICE_KEY in the environment: docs/load-testing.md."""

import os
import sys
from pathlib import Path

# Locust imports this file by its path, from wherever it was started.
sys.path.insert(0, os.fspath(Path(__file__).resolve().parents[1]))

from loadtests.suite import hooks, options  # noqa: F401  they listen to Locust's events
from loadtests.suite.attackers import Extractor, Invalid, OverLimit
from loadtests.suite.personas import Agent, Chat, Classifier, Impatient, LongWriter, Retrieval
from loadtests.suite.replay import Replay
from loadtests.suite.shapes import Shape

__all__ = [
    "Agent",
    "Chat",
    "Classifier",
    "Extractor",
    "Impatient",
    "Invalid",
    "LongWriter",
    "OverLimit",
    "Replay",
    "Retrieval",
    "Shape",
]
