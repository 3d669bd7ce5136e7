"""Ended requests, as the guard is told of them."""

from gateway.guard.observation import Observation

DAY = 20_000
START = DAY * 86_400.0


def seen(text: str = "How are you?", at: float = START, key: str = "k", **more: object) -> Observation:
    told = {
        "key": key,
        "tenant": f"of-{key}",
        "model": "m",
        "at": at,
        "messages": (("user", text),),
        "prompt_tokens": 10,
        "completion_tokens": 100,
    }
    return Observation(**(told | more))
