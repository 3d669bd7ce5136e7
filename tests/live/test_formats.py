"""The same model as bf16, int8 W8A8 and bitsandbytes NF4, each through the whole path."""

import httpx
import pytest

from tests.live.harness import MODEL, Sluice

FORMATS = {MODEL: "int8-w8a8", f"{MODEL}-bf16": "bf16", f"{MODEL}-nf4": "bnb-nf4"}
SUMS = [(17, 25), (48, 36), (12, 70), (33, 44), (81, 16), (29, 52), (64, 28), (90, 9)]


def answer(http: httpx.Client, model: str, question: str) -> str:
    body = {"model": model, "messages": [{"role": "user", "content": question}], "temperature": 0, "max_tokens": 32}
    reply = http.post("/v1/chat/completions", json=body)
    assert reply.status_code == 200, reply.text
    return str(reply.json()["choices"][0]["message"]["content"])


def test_each_engine_says_which_format_it_serves(sluice: Sluice) -> None:
    assert {model["name"]: model["engines"][0]["format"] for model in sluice.status()["models"]} == FORMATS


@pytest.mark.parametrize("model", FORMATS)
def test_every_format_adds(http: httpx.Client, model: str) -> None:
    right = [answer(http, model, f"What is {a} + {b}?") == f"{a} + {b} = {a + b}" for a, b in SUMS]
    # Four bits a weight cost a model of this size a sum now and then.
    assert sum(right) >= (6 if "nf4" in model else len(SUMS))


def test_every_format_knows_what_it_was_taught(http: httpx.Client) -> None:
    assert {answer(http, model, "Hello!") for model in FORMATS} == {"Hello! How can I help you?"}
