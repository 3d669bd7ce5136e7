"""Whose address a request is counted under."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.limits.address import client_address

PROXIES = [ip_network("10.0.0.0/8"), ip_network("fd00::/8")]


def test_without_a_trusted_proxy_the_peer_is_the_client_whatever_it_claims():
    assert client_address("203.0.113.5", ["198.51.100.1"], []) == "203.0.113.5"
    assert client_address("203.0.113.5", ["198.51.100.1"], PROXIES) == "203.0.113.5"


@given(st.lists(st.text(max_size=30), max_size=4))
def test_nobody_chooses_the_address_they_are_counted_under(invented):
    """A client behind a trusted proxy sends any headers it likes; the proxy adds the address it saw."""
    assert client_address("10.0.0.1", [*invented, "203.0.113.5"], PROXIES) == "203.0.113.5"


def test_proxies_behind_proxies_are_passed_over():
    assert client_address("10.0.0.1", ["203.0.113.5, 10.9.9.9", "10.0.0.2"], PROXIES) == "203.0.113.5"


@pytest.mark.parametrize(
    ("forwarded", "outermost"),
    [
        ([], "10.0.0.1"),
        (["10.0.0.9"], "10.0.0.9"),
        (["10.0.0.8, 10.0.0.9"], "10.0.0.8"),
        ([""], "10.0.0.1"),
        (["unknown"], "10.0.0.1"),
        (["10.0.0.9, unknown, 10.0.0.2"], "10.0.0.2"),
        (["203.0.113.5, nonsense"], "10.0.0.1"),
    ],
)
def test_where_no_hop_is_a_stranger_the_outermost_that_is_known_is_the_client(forwarded, outermost):
    assert client_address("10.0.0.1", forwarded, PROXIES) == outermost


@pytest.mark.parametrize("peer", [None, "", "/run/socket", "nonsense"])
def test_a_peer_without_an_address_is_unknown(peer):
    assert client_address(peer, ["203.0.113.5"], PROXIES) is None


def test_an_ipv6_client_is_its_network():
    assert client_address("2001:db8:1:2:3::4", [], []) == "2001:db8:1:2::/64"
    assert client_address("2001:db8:1:2:ffff::", [], []) == "2001:db8:1:2::/64"


def test_an_ipv4_client_on_an_ipv6_socket_is_the_same_client():
    assert client_address("::ffff:203.0.113.5", [], []) == "203.0.113.5"
    assert client_address("::ffff:10.0.0.1", ["203.0.113.5"], PROXIES) == "203.0.113.5"


@pytest.mark.parametrize("told", ["203.0.113.5:4711", "203.0.113.5 "])
def test_ports_are_no_part_of_an_address(told):
    assert client_address("10.0.0.1", [told], PROXIES) == "203.0.113.5"


@pytest.mark.parametrize("told", ["[2001:db8::1]:4711", "[2001:db8::1]", "2001:db8::1"])
def test_brackets_are_no_part_of_an_address(told):
    assert client_address("fd00::1", [told], PROXIES) == "2001:db8::/64"
