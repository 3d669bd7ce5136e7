"""One chaos run: a reference, a control, then fault after fault under a load that never pauses; judged at the end."""

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import httpx
import msgspec
import psutil

from loadtests.chaos.answers import Answer
from loadtests.chaos.faults import FAULTS, Due, Fault, NotHere, Scene, Sizes
from loadtests.chaos.kinds import TENANTS, Item, with_logprobs, work
from loadtests.chaos.load import Flight, Load
from loadtests.chaos.results import Row
from loadtests.chaos.target import Standing, Target
from loadtests.chaos.verdict import flipped, places

HOST = "127.0.0.1"
RECOVERY_S = 180.0
ASKED_AGAIN = 3
"""Times that a request is asked again alone: it may itself fall to the other side of an earlier near tie."""
EXAMPLES = 5
NONE_DUE = Due((), (), 0.0)


@dataclass
class Session:
    """`rows` fill as the run goes on; `say` tells a person how far it is."""

    target: Target
    port: int
    sizes: Sizes
    seed: int
    say: Callable[[str], None]
    rows: list[Row] = field(default_factory=list)
    _reference: list[Answer] = field(default_factory=list)
    _differing: list[tuple[Row, Flight]] = field(default_factory=list)
    _counted: int = 0
    _asked: int = 0

    async def run(self, faults: Sequence[str], replicas: int) -> None:
        """Raises RuntimeError if even the reference run brings no whole answers."""
        keys = {tenant: await self.target.key(tenant) for tenant in TENANTS}
        items = work(self.target.model, self.sizes.rounds, self.seed)
        load = Load(HOST, self.port, keys, items)
        standing = Standing(self.target, replicas)
        watch = asyncio.create_task(standing.watch())
        try:
            await standing.regained((), RECOVERY_S)
            await self._refer(load, items)
            self._counted = len(load.ended)
            load.start(self.sizes.streams)
            await self._control(load, standing)
            for name in faults:
                await self._torment(name, FAULTS[name], Scene(self.target, load, standing, self.sizes))
            await load.stop()
            last = self.rows[-1]
            self._add(last, load, _due(last), 0.0)
            await self._judge(load)
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)
            await self.target.watcher.aclose()

    async def _refer(self, load: Load, items: Sequence[Item]) -> None:
        self.say(f"reference: {len(items)} requests of {len({item.kind for item in items})} kinds")
        await load.once_each(items[: self.sizes.streams], self.sizes.streams)
        self._reference = await load.once_each(items, self.sizes.streams)
        if bad := [answer.problem or answer.refused for answer in self._reference if not answer.complete]:
            raise RuntimeError(f"{len(bad)} answers are not whole without any fault: {bad[0]}")

    async def _control(self, load: Load, standing: Standing) -> None:
        scene = Scene(self.target, load, standing, self.sizes)
        row = self._begin("control", "none (the control)")
        await scene.mid_stream()
        await asyncio.sleep(self.sizes.control_s)
        await load.settled()
        self._count(row, scene, NONE_DUE)

    async def _torment(self, name: str, fault: Fault, scene: Scene) -> None:
        row = self._begin(name, fault.title)
        moved = await self._moved()
        try:
            await fault.strike(scene)
        except NotHere as reason:
            row.notes.append(str(reason))
            self.say(f"{fault.title}: {reason}")
            return
        except (RuntimeError, ValueError, OSError, httpx.HTTPError, psutil.Error) as exc:
            scene.problems.append(f"{type(exc).__name__}: {exc}")
        try:
            await scene.standing.regained(scene.gone, RECOVERY_S)
            row.recovery_s = max(0.0, max(scene.standing.bad_at, scene.back_at) - scene.struck_at)
        except TimeoutError as exc:
            scene.problems.append(f"{exc}: {scene.standing.engines}")
        await scene.load.settled()
        after = await self._moved()
        if moved is None or after is None:
            scene.problems.append("no gateway told how many streams went on with another engine")
        else:
            # A gateway that an update has replaced counts from 0 again.
            row.moved = max(0, after - moved)
            if fault.moves and not row.moved:
                scene.problems.append("no stream went on with another engine")
        self._count(row, scene, fault.due)

    def _begin(self, name: str, title: str) -> Row:
        row, self._asked = Row(name, title), 0
        self.rows.append(row)
        return row

    async def _moved(self) -> int | None:
        with contextlib.suppress(httpx.HTTPError):
            return await self.target.moved()
        return None

    def _count(self, row: Row, scene: Scene, due: Due) -> None:
        row.in_flight, row.notes, row.problems = scene.in_flight, scene.notes, scene.problems
        self._add(row, scene.load, due, scene.struck_at)
        self.say(
            f"{row.title}: {row.in_flight} in flight, {row.completed} completed, {row.refused} refused, {row.failed} failed, "
            f"{sum(one is row for one, _ in self._differing)} differ, longest pause {row.longest_pause_ms:.0f} ms, "
            f"recovery {row.recovery_s:.1f} s" + "".join(f"\n{problem}" for problem in row.problems)
        )

    def _add(self, row: Row, load: Load, due: Due, struck_at: float) -> None:
        """Whatever has ended since the last count; what ended before this fault struck goes to the one before. The last row is
        counted twice: its share of refusals is of all that were asked in its time.
        """
        flights, self._counted = load.ended[self._counted :], len(load.ended)
        before = self.rows[self.rows.index(row) - 1]
        already = row.refused
        for flight in flights:
            if flight.ended < struck_at and before is not row:
                self._tally(before, flight, _due(before))
            else:
                self._tally(row, flight, due)
                self._asked += flight.item.tenant in due.tenants
        if already < row.refused and row.refused > due.most * self._asked:
            row.problems.append(f"{row.refused} of {self._asked} requests that may be refused here were")

    def _tally(self, row: Row, flight: Flight, due: Due) -> None:
        answer = flight.answer
        assert answer is not None
        row.longest_pause_ms = max(row.longest_pause_ms, answer.pause_s * 1e3)
        row.longest_answer_s = max(row.longest_answer_s, flight.ended - flight.sent)
        if answer.refused in due.codes and flight.item.tenant in due.tenants:
            row.refused += 1
            row.reasons[answer.refused] = row.reasons.get(answer.refused, 0) + 1
        elif not answer.complete:
            row.failed += 1
            if len(row.problems) < EXAMPLES:
                row.problems.append(f"{flight.item.kind}: {answer.problem or f'refused: {answer.refused}'}")
        else:
            row.completed += 1
            self._compare(row, flight, answer)

    def _compare(self, row: Row, flight: Flight, answer: Answer) -> None:
        if flight.item.compared:
            row.compared += 1
            if not answer.same(self._reference[flight.item.number]):
                self._differing.append((row, flight))

    async def _judge(self, load: Load) -> None:
        """Each request that differed is asked again, with nobody beside it."""
        for row, flight in self._differing:
            expected, got = self._reference[flight.item.number], flight.answer
            assert got is not None
            if await self._is_flip(load, flight.item, expected, got):
                row.flipped += 1
                continue
            row.altered += 1
            if len(row.problems) < EXAMPLES:
                told = [[choice.told for choice in answer.choices.values()] for answer in (expected, got)]
                row.problems.append(f"{flight.item.kind} was altered: {told[0]} became {told[1]}")

    async def _is_flip(self, load: Load, item: Item, expected: Answer, got: Answer) -> bool:
        for _ in range(ASKED_AGAIN):
            with contextlib.suppress(msgspec.DecodeError, KeyError):
                reply = msgspec.json.decode(await load.raw(with_logprobs(item), item.tenant))
                if flipped(expected, got, places(reply)):
                    return True
        return False


def _due(row: Row) -> Due:
    return FAULTS[row.fault].due if row.fault in FAULTS else NONE_DUE
