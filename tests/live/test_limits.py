"""Limits as clients of a whole Sluice meet them: every route, both doors, and the SDKs' own way with a Retry-After."""

import anthropic
import httpx
import openai
import pytest

from tests.waiting import eventually

MODEL = "sluice-demo"
TURN = [{"role": "user", "content": "Hello"}]
BODIES = {
    "/v1/chat/completions": {"messages": TURN, "max_tokens": 3},
    "/v1/completions": {"prompt": "Hello", "max_tokens": 3},
    "/v1/responses": {"input": "Hello", "max_output_tokens": 16},
    "/v1/messages": {"messages": TURN, "max_tokens": 3},
}


def asked(sluice, key):
    """The reply to what any key may ask, once the gateway knows the key."""
    url, headers = f"{sluice.url}/v1/models", {"authorization": f"Bearer {key}"}

    def known():
        reply = httpx.get(url, headers=headers, trust_env=False)
        return reply if reply.status_code != 401 else None

    return eventually(known, 10, "a known key")


@pytest.fixture(scope="module")
def spent(sluice):
    """A key whose two requests an hour have been made."""
    made = sluice.key("limited", "--tenant", "limited", "--tier", "two-an-hour")
    replies = [asked(sluice, made) for _ in range(2)]
    assert [reply.status_code for reply in replies] == [200, 200]
    assert [reply.headers["x-ratelimit-remaining-requests"] for reply in replies] == ["1", "0"]
    return made


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("path", BODIES)
@pytest.mark.parametrize("door", ["own", "haproxy"])
def test_every_route_is_429_with_its_headers_at_both_doors(sluice, spent, door, path, stream):
    url = sluice.url if door == "own" else f"http://127.0.0.1:{sluice.config['gateway']['haproxy']['port']}"
    body = BODIES[path] | {"model": MODEL, "stream": stream}
    reply = httpx.post(url + path, json=body, headers={"authorization": f"Bearer {spent}"}, trust_env=False)
    assert reply.status_code == 429, reply.text
    assert reply.headers["x-sluice-reason"] == "request_window"
    assert int(reply.headers["retry-after"]) >= 1
    assert reply.headers["x-ratelimit-limit-requests"] == "2"
    assert reply.headers["x-ratelimit-remaining-requests"] == "0"
    assert reply.headers["x-ratelimit-reset-requests"].endswith("s")


def test_the_sdks_are_told_when_to_come_again(sluice, spent):
    ours = openai.OpenAI(base_url=f"{sluice.url}/v1", api_key=spent, max_retries=0)
    with pytest.raises(openai.RateLimitError) as refused:
        ours.chat.completions.create(model=MODEL, messages=TURN, max_tokens=3)
    assert refused.value.code == "rate_limit_exceeded"
    assert int(refused.value.response.headers["retry-after"]) >= 1
    theirs = anthropic.Anthropic(base_url=sluice.url, api_key=spent, max_retries=0)
    with pytest.raises(anthropic.RateLimitError) as refused_too:
        theirs.messages.create(model=MODEL, messages=TURN, max_tokens=3)
    assert int(refused_too.value.response.headers["retry-after"]) >= 1


def test_an_sdk_that_waits_as_it_is_told_gets_its_answer(sluice):
    made = sluice.key("slow", "--tenant", "slow", "--tier", "one-a-second")
    assert asked(sluice, made).status_code == 200
    statuses = []
    http = openai.DefaultHttpxClient(
        trust_env=False, event_hooks={"response": [lambda reply: statuses.append(reply.status_code)]}
    )
    client = openai.OpenAI(base_url=f"{sluice.url}/v1", api_key=made, max_retries=4, http_client=http)
    for _ in range(2):
        answer = client.chat.completions.create(model=MODEL, messages=TURN, max_tokens=3)
        assert answer.choices[0].message.content
    assert statuses[-1] == 200
    assert 429 in statuses
