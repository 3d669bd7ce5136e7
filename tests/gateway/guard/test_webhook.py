"""The webhook against real receivers: who is told, what is tried again, and that nobody ever waits for it."""

import logging
import threading
import time

import pytest

from gateway.guard.webhook import AGAIN_S, WAITING, Webhook
from tests.gateway.guard.webhooks import Receiver
from tests.waiting import eventually

MESSAGE = {"key": "k", "level": "verify"}


def test_messages_come_in_order() -> None:
    with Receiver() as receiver:
        webhook = Webhook(receiver.url)
        for number in range(5):
            webhook.tell(MESSAGE | {"number": number})
        eventually(lambda: len(receiver.messages) == 5, 10, "five messages")
        assert [message["number"] for message in receiver.messages] == [0, 1, 2, 3, 4]
        assert webhook.lost == 0


def test_a_message_that_fails_is_sent_again_until_it_is_taken() -> None:
    waited: list[float] = []
    with Receiver("fails") as receiver:

        def wait(seconds: float) -> None:
            waited.append(seconds)
            receiver.behaviour = "takes"

        webhook = Webhook(receiver.url, wait=wait)
        webhook.tell(MESSAGE)
        eventually(lambda: len(receiver.messages) == 2, 10, "a second try")
        webhook.tell(MESSAGE | {"key": "later"})
        eventually(lambda: len(receiver.messages) == 3, 10, "the next message")
    assert waited == [AGAIN_S[0]]
    assert webhook.lost == 0


@pytest.mark.parametrize("behaviour", ["fails", "hangs"])
def test_a_message_that_nobody_takes_is_given_up_and_the_next_one_sent(behaviour: str) -> None:
    with Receiver(behaviour) as receiver:
        webhook = Webhook(receiver.url, timeout_s=0.1, wait=lambda _: None)
        webhook.tell(MESSAGE)
        webhook.tell(MESSAGE | {"key": "next"})
        eventually(lambda: webhook.lost == 2, 10, "both given up")
        tries = len(AGAIN_S) + 1
        assert [message["key"] for message in receiver.messages] == ["k"] * tries + ["next"] * tries


def test_to_tell_never_waits_however_many_wait_already(caplog: pytest.LogCaptureFixture) -> None:
    blocked = threading.Event()
    with Receiver("hangs") as receiver, caplog.at_level(logging.WARNING):
        webhook = Webhook(receiver.url, timeout_s=5, wait=lambda _: blocked.wait())
        begun = time.monotonic()
        for _ in range(WAITING + 100):
            webhook.tell(MESSAGE)
        assert time.monotonic() - begun < 1
        assert 99 <= webhook.lost <= 100
        assert "too many wait" in caplog.text
        blocked.set()


def test_a_receiver_that_is_not_there_is_told_of_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    with Receiver() as receiver:
        url = receiver.url
    webhook = Webhook(url, wait=lambda _: None)
    with caplog.at_level(logging.WARNING):
        webhook.tell(MESSAGE)
        eventually(lambda: webhook.lost == 1, 10, "given up")
    assert "was not told of k at verify" in caplog.text
