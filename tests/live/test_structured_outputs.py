"""Structured output through the whole path: JSON schemas, pydantic models, regular expressions, choices, grammars."""

import json
import re

import openai
import pytest
from pydantic import BaseModel

from tests.live.harness import MODEL, Sluice

PERSON = "Alice is 30 years old and lives in Paris. Give me name, age and city as JSON."
SUM = [{"role": "user", "content": "What is 17 + 25?"}]


class Person(BaseModel):
    name: str
    age: int
    city: str


@pytest.fixture
def client(sluice: Sluice, key: str) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{sluice.url}/v1", api_key=key, max_retries=0, timeout=120)


def constrained(client: openai.OpenAI, **structured: object) -> str:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=SUM,  # type: ignore[arg-type]
        max_tokens=64,
        temperature=1.5,
        extra_body={"structured_outputs": structured},
    )
    return answer.choices[0].message.content or ""


def test_a_pydantic_model_is_filled(client: openai.OpenAI) -> None:
    answer = client.chat.completions.parse(
        model=MODEL,
        messages=[{"role": "user", "content": PERSON}],
        response_format=Person,
        temperature=0,
        max_tokens=200,
    )
    assert answer.choices[0].message.parsed == Person(name="Alice", age=30, city="Paris")


def test_a_json_schema_holds_in_a_stream_too(client: openai.OpenAI) -> None:
    """The model would say Alice and 30: the schema has the last word."""
    schema = {
        "type": "object",
        "properties": {"name": {"enum": ["Bob", "Clara"]}, "age": {"type": "integer", "minimum": 50, "maximum": 59}},
        "required": ["name", "age"],
        "additionalProperties": False,
    }
    stream = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": PERSON.replace("name, age and city", "name and age")}],
        response_format={"type": "json_schema", "json_schema": {"name": "person", "schema": schema, "strict": True}},
        max_tokens=200,
        temperature=0,
        stream=True,
    )
    made = json.loads("".join(chunk.choices[0].delta.content or "" for chunk in stream))
    assert set(made) == {"name", "age"}
    assert made["name"] in {"Bob", "Clara"}
    assert 50 <= made["age"] <= 59


def test_json_is_json_even_without_a_schema(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": PERSON}],
        response_format={"type": "json_object"},
        temperature=0,
        max_tokens=200,
    )
    assert json.loads(answer.choices[0].message.content or "") == {"name": "Alice", "age": 30, "city": "Paris"}


def test_a_regular_expression_is_followed(client: openai.OpenAI) -> None:
    for _ in range(3):
        assert re.fullmatch(r"[a-f]{4}-[0-9]{2}", constrained(client, regex=r"[a-f]{4}-[0-9]{2}"))


def test_one_of_the_choices_is_taken(client: openai.OpenAI) -> None:
    assert {constrained(client, choice=["yes", "no"]) for _ in range(4)} <= {"yes", "no"}


def test_a_grammar_is_followed(client: openai.OpenAI) -> None:
    assert constrained(client, grammar='root ::= "(" ("a" | "b") ")"') in {"(a)", "(b)"}


@pytest.mark.parametrize(
    "structured",
    [
        {"regex": "(unclosed"},
        {"grammar": "root ::= nonsense ::= ("},
        {"json": {"type": "no such type"}},
        {"choice": []},
        {"regex": "a", "choice": ["b"]},
    ],
    ids=["regex", "grammar", "schema", "no choice", "two at once"],
)
def test_a_constraint_that_cannot_be_met_is_a_400_and_harms_nobody(
    client: openai.OpenAI, structured: dict[str, object]
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        constrained(client, **structured)
    assert caught.value.type == "invalid_request_error"
    assert constrained(client, choice=["fine"]) == "fine"
