"""What a user keeps from one run to the next in the same process: nothing."""

import subprocess
import sys

from loadtests.drive import ROOT

TWO_RUNS = """
from argparse import Namespace
from locust import events
from locust.env import Environment
from loadtests.suite import user
from loadtests.suite.personas import Chat
from loadtests.suite.record import JOURNAL
from loadtests.suite.verify import Answer

options = Namespace(seed=1, served_model="m", api_key="sk", metered_key="", extractor_key="", ca_file="", rate=1.0)
environment = Environment(user_classes=[Chat], host="http://127.0.0.1:1", parsed_options=options)
for text in ("4", "four"):
    events.test_start.fire(environment=environment)
    users = [Chat(environment) for _ in range(2)]
    asked = [one.plan().body["messages"][0]["content"] for one in users]
    print(len(set(asked)), asked, user.changed(user._texts, "question 1", text))


class Broken(Chat):
    def _until_answered(self, plan, intended):
        return Answer()

    def answered(self, plan, answer):
        return plan.body["no such thing"]


one = Broken(environment)
one._converse(one.plan(), 0.0)
print([(record.outcome.value, record.problem) for record in JOURNAL.records], one._open)
"""


def test_a_second_run_asks_the_same_and_may_get_another_text_and_a_persona_that_breaks_is_a_failure():
    """In a process of its own: Locust patches the sockets of whoever imports it."""
    ran = subprocess.run([sys.executable, "-c", TWO_RUNS], cwd=ROOT, capture_output=True, text=True, check=True)
    first, second, broken = ran.stdout.splitlines()
    assert first == second
    assert first.startswith("2 "), "two users ask two things"
    assert broken == """[('failed', "the generator itself: KeyError: 'no such thing'")] {}"""
