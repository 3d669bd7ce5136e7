"""The guard's state in Redis, for gateways on several nodes. How durable it is, is Redis's configuration (appendonly yes)."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final

import msgspec
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import RedisError
from redis.retry import Retry

from gateway.guard.leaks import Charge
from gateway.guard.store import GuardStoreUnavailable, Row

SCRIPT: Final = "guard.lua"
INHERIT: Final = "inherit.lua"
SETTINGS: Final = "settings.lua"
KEEP: Final = 100_000
"""Entries of the log of written rows; a gateway that is further behind reads the rows themselves at its next start."""


class RedisStore:
    """See GuardStore. Redis has `timeout_s` for each answer; a leak budget that cannot be asked is refused, never guessed.

    How late this process is does not matter: a thread that finds its time over looks into the socket once more.
    """

    durable = True

    def __init__(self, url: str, timeout_s: float, prefix: str = "sluice") -> None:
        self._redis: Redis = Redis.from_url(
            url, socket_timeout=timeout_s, socket_connect_timeout=timeout_s, retry=Retry(NoBackoff(), 0)
        )
        # One hash tag: a script's keys are on one node of a cluster.
        self._prefix = f"{prefix}:{{guard}}:"
        self._charge, self._inherit, self._settings = (
            self._redis.register_script(files(__package__).joinpath(script).read_text(encoding="utf-8"))
            for script in (SCRIPT, INHERIT, SETTINGS)
        )

    def reserve(self, meter: str, charge: Charge, limit: Charge, others: Sequence[str] = ()) -> bool:
        with _asked():
            return bool(self._charge(keys=self._keys(meter, *others), args=(*charge, *limit)))

    def inherit(self, meter: str, former: str) -> None:
        with _asked():
            self._inherit(keys=self._keys(meter, former))

    def give_back(self, meter: str, charge: Charge) -> None:
        with _asked():
            self._charge(keys=self._keys(meter), args=(-charge.scalars, -charge.answers, 0, 0))

    def settings(self, meter: str, setting: str, most: int) -> frozenset[str]:
        with _asked():
            found = self._settings(keys=[self._prefix + "settings:" + meter], args=(setting, most))
        return frozenset(name.decode() for name in found)

    def meters(self) -> dict[str, Charge]:
        with _asked():
            names: list[Any] = list(self._redis.smembers(self._prefix + "leaks"))
            pipe = self._redis.pipeline()
            for name in names:
                pipe.hmget(name, "scalars", "answers")
            found = pipe.execute()
        start = len(self._prefix) + len("leak:")
        return {
            name.decode()[start:]: Charge(*(int(value or 0) for value in values))
            for name, values in zip(names, found, strict=True)
        }

    def write(self, rows: Sequence[Row]) -> None:
        with _asked(), self._redis.pipeline() as pipe:
            for row in rows:
                field = f"{row.subject}\n{row.writer}"
                pipe.hset(self._prefix + "rows", field, msgspec.msgpack.encode(row))
                pipe.rpush(self._prefix + "log", field)
            pipe.execute()

    def read(self, since: int) -> tuple[list[Row], int]:
        """The mark is a place in the log of writes; what is read twice says the same twice."""
        with _asked():
            told: Any = self._redis.get(self._prefix + "trimmed")
            while True:
                trimmed = int(told or 0)
                with self._redis.pipeline() as pipe:
                    pipe.get(self._prefix + "trimmed")
                    pipe.llen(self._prefix + "log")
                    pipe.lrange(self._prefix + "log", max(0, since - trimmed), -1)
                    told, length, fields = pipe.execute()
                # If another gateway has trimmed the log between the two questions, the place was another.
                if int(told or 0) == trimmed:
                    break
            mark = trimmed + int(length)
            # A mark beyond the end is of a Redis that has lost its log since.
            if since == 0 or not trimmed <= since <= mark:
                raw: Any = list(self._redis.hvals(self._prefix + "rows"))
            else:
                raw = self._redis.hmget(self._prefix + "rows", list(set(fields))) if fields else []
        return [msgspec.msgpack.decode(blob, type=Row) for blob in raw if blob], mark

    def sweep(self, before_day: int) -> None:
        with _asked():
            for field, blob in self._redis.hscan_iter(self._prefix + "rows"):
                if msgspec.msgpack.decode(blob, type=Row).day < before_day:
                    self._redis.hdel(self._prefix + "rows", field)
            over = int(self._redis.llen(self._prefix + "log")) - KEEP
            if over > 0:
                with self._redis.pipeline() as pipe:
                    pipe.ltrim(self._prefix + "log", over, -1)
                    pipe.incrby(self._prefix + "trimmed", over)
                    pipe.execute()

    def close(self) -> None:
        self._redis.close()

    def _keys(self, *meters: str) -> list[str]:
        return [self._prefix + "leaks", *(self._prefix + "leak:" + meter for meter in meters)]


@contextmanager
def _asked() -> Iterator[None]:
    try:
        yield
    except (RedisError, OSError) as exc:
        raise GuardStoreUnavailable(f"{type(exc).__name__}: {exc}") from exc
