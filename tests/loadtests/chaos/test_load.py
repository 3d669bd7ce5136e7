import asyncio

from loadtests.chaos.kinds import once, work
from loadtests.chaos.load import Load
from loadtests.chaos.waiting import until

KEYS = {"ada": "key-a", "bela": "key-b", "cora": "key-c"}


def plain(count: int, tokens: int = 3):
    return [once("toy", f"prompt {number}", tokens, "ada") for number in range(count)]


async def test_each_piece_of_work_is_asked_once_with_its_tenants_key(serving):
    async with serving() as (toy, port):
        answers = await Load("127.0.0.1", port, KEYS, []).once_each(plain(7), streams=3)
    assert [answer.choices[0].text for answer in answers] == ["8.0 8.1 8.2 "] * 7
    assert toy.keys == ["Bearer key-a"] * 7


async def test_the_load_never_pauses_until_it_is_held(serving):
    async with serving() as (_toy, port):
        load = Load("127.0.0.1", port, KEYS, plain(5))
        load.start(4)
        await until(lambda: len(load.ended) > 30, 5, "a load")
        load.hold()
        await load.settled()
        held = len(load.ended)
        await asyncio.sleep(0.05)
        assert (len(load.flying), len(load.ended)) == (0, held)
        load.release()
        await until(lambda: len(load.ended) > held + 10, 5, "a load again")
        await load.stop()
    assert not load.flying
    assert all(flight.answer.complete for flight in load.ended)


async def test_a_door_that_is_closed_is_a_failure_and_not_the_end_of_the_load(serving):
    async with serving() as (_toy, port):
        load = Load("127.0.0.1", port, KEYS, plain(5))
        load.start(1)
        await until(lambda: len(load.ended) > 3, 5, "a load")
        (line,) = {flight.line for flight in load.ended}
    line.close()
    await until(lambda: load.ended[-1].answer.problem.startswith("no connection"), 5, "a refused connection")
    await load.stop()


async def test_a_burst_is_counted_with_the_work(serving):
    async with serving() as (toy, port):
        load = Load("127.0.0.1", port, KEYS, work("toy", 1, seed=1))
        await load.burst(plain(20))
    assert len(load.ended) == toy.requests == 20
