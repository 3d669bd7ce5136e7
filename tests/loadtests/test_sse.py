import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.sse import ChunkedBody, EventSplitter, SizedBody, body_reader, read_head

payloads = st.lists(
    st.text(st.characters(exclude_characters="\r\n", exclude_categories=["Cs"])).map(str.encode), max_size=8
)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in itertools.pairwise(edges)]


def chunked(pieces: list[bytes], trailer: bytes = b"") -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces if piece) + b"0\r\n" + trailer + b"\r\n"


def events_of(wire: bytes, network_cuts: list[int]) -> tuple[list[bytes], bool]:
    body, splitter = ChunkedBody(), EventSplitter()
    found = []
    for piece in cut(wire, network_cuts):
        found += splitter.feed(body.feed(piece))
    return found, body.done


@given(payloads, st.lists(st.integers(0, 10_000)), st.lists(st.integers(0, 10_000)))
def test_events_are_the_same_wherever_chunks_and_packets_are_cut(events, chunk_cuts, network_cuts):
    stream = b"".join(b"data: " + event + b"\n\n" for event in events)
    wire = chunked(cut(stream, chunk_cuts))
    assert events_of(wire, network_cuts) == (events, True)


@given(payloads, st.lists(st.integers(0, 10_000)))
def test_carriage_returns_make_no_difference(events, network_cuts):
    stream = b"".join(b"data: " + event + b"\r\n\r\n" for event in events)
    assert events_of(chunked([stream]), network_cuts) == (events, True)


def test_a_body_byte_by_byte_is_done_at_its_very_last_byte():
    wire = chunked([b"data: x\n\n"], trailer=b"x-checksum: 1\r\n")
    body = ChunkedBody()
    for number, byte in enumerate(wire):
        assert not body.done, number
        body.feed(bytes([byte]))
    assert body.done


def test_a_payload_that_looks_like_the_last_chunk_does_not_end_the_body():
    body = ChunkedBody()
    assert body.feed(chunked([b"0\r\n\r\n", b"tail"])[:20]) == b"0\r\n\r\ntail"
    assert not body.done


def test_chunk_extensions_are_ignored():
    assert ChunkedBody().feed(b"3;name=value\r\nabc\r\n") == b"abc"


def test_bytes_that_are_no_chunk_are_an_error():
    with pytest.raises(ValueError, match="invalid literal"):
        ChunkedBody().feed(b"data: x\r\n\r\n")


def test_comments_and_other_fields_are_no_events():
    splitter = EventSplitter()
    assert splitter.feed(b": keep-alive\n\nretry: 5\n\nevent: error\ndata: {}\n\n") == [b"{}"]


@pytest.mark.parametrize("rest", [b"data: {}\n", b"x", b"garbage\n\n", b"garbage\n\ndata: 2\n\n"])
def test_what_belongs_to_no_event_is_kept(rest: bytes):
    splitter = EventSplitter()
    splitter.feed(b": comment\n\ndata: 1\n\n\ndata: [DONE]\n\n")
    assert splitter.surplus == b""
    splitter.feed(rest)
    assert splitter.surplus == (b"garbage" if b"garbage" in rest else rest)


def test_several_data_lines_are_one_event():
    assert EventSplitter().feed(b"data: a\ndata:b\n\n") == [b"a\nb"]


@pytest.mark.parametrize(
    ("length", "taken", "done"), [(3, b"abc", True), (9, b"abcdef", False), (None, b"abcdef", False)]
)
def test_an_announced_length_ends_the_body(length, taken, done):
    body = SizedBody(length)
    assert body.feed(b"abcdef") == taken
    assert body.done is done


def test_an_empty_body_is_done_before_it_begins():
    assert SizedBody(0).done


def test_the_head_tells_how_the_body_is_framed():
    status, headers = read_head(b"HTTP/1.1 429 Too Many Requests\r\nTransfer-Encoding: chunked\r\nX-A:  b ")
    assert (status, headers[b"x-a"]) == (429, b"b")
    assert isinstance(body_reader(headers), ChunkedBody)
    assert isinstance(body_reader({b"content-length": b"5"}), SizedBody)
