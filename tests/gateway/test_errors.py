"""The exception tree and its table."""

from collections.abc import Iterator

import pytest

from gateway import errors
from gateway.errors import FACES, ConfigError, HttpError, Internal, SluiceError, Unavailable, face_of


def descendants(cls: type[SluiceError]) -> Iterator[type[SluiceError]]:
    for child in cls.__subclasses__():
        if child.__module__ == errors.__name__:
            yield child
            yield from descendants(child)


def test_every_http_error_has_a_face_of_its_own() -> None:
    assert set(FACES) == set(descendants(HttpError))


def test_the_docstring_draws_every_class() -> None:
    drawn = errors.__doc__ or ""
    assert [cls.__name__ for cls in descendants(SluiceError) if f"─ {cls.__name__}" not in drawn] == []


def test_the_docstring_draws_the_statuses_of_the_table() -> None:
    lines = (errors.__doc__ or "").splitlines()
    for cls, face in FACES.items():
        line = next(line for line in lines if f"─ {cls.__name__}" in line)
        parent_is_503 = issubclass(cls, Unavailable) and cls is not Unavailable
        assert parent_is_503 or str(face.status) in line


def test_an_unlisted_subclass_shows_its_parents_face() -> None:
    class Narrower(errors.UnknownField):
        pass

    assert face_of(Narrower("no")) == FACES[errors.UnknownField]


def test_an_operators_error_shows_as_an_internal_one() -> None:
    assert face_of(ConfigError("a.yaml", "limits.n", "must be positive")) == FACES[Internal]


@pytest.mark.parametrize("cls", [cls for cls, face in FACES.items() if face.status == 503])
def test_every_503_may_be_retried_and_says_when(cls: type[SluiceError]) -> None:
    assert FACES[cls].retryable
    assert cls("busy").retry_after == errors.DEFAULT_RETRY_AFTER


@pytest.mark.parametrize(
    ("path", "key", "message"),
    [
        ("a.yaml", "limits.n", "a.yaml: limits.n: must be positive"),
        ("a.yaml", None, "a.yaml: must be positive"),
        (None, "limits.n", "limits.n: must be positive"),
    ],
)
def test_a_config_error_names_what_it_knows_of_file_and_key(path: str | None, key: str | None, message: str) -> None:
    assert str(ConfigError(path, key, "must be positive")) == message
