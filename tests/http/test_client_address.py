"""Where a request comes from, and who may read the development inbox."""

from __future__ import annotations

from typing import Any

import pytest

from authkit_issuer.config.trusted_proxies import TrustedProxies
from authkit_issuer.http import client_address
from authkit_issuer.http.client_address import LoopbackOnly, client_facts, require_loopback

PROXIES = TrustedProxies(("10.0.0.0/8", "2001:db8::/32"))


def _scope(
    peer: str | None, *forwarded: str, host: str | None = "127.0.0.1:8000", **more: str
) -> dict[str, Any]:
    headers = [(b"x-forwarded-for", line.encode()) for line in forwarded]
    headers += [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in more.items()]
    if host is not None:
        headers.append((b"host", host.encode()))
    return {"client": None if peer is None else (peer, 1234), "headers": headers}


@pytest.mark.parametrize(
    ("peer", "forwarded", "expected"),
    [
        (None, [], None),
        ("192.0.2.1", [], "192.0.2.1"),
        ("::ffff:192.0.2.1", [], "192.0.2.1"),
        ("fe80::1%eth0", [], "fe80::1"),
        ("unix:", [], None),
        # the header of an untrusted client is ignored
        ("192.0.2.1", ["198.51.100.9"], "192.0.2.1"),
        # a trusted proxy vouches for the hop before it
        ("10.0.0.1", ["198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.9"], "198.51.100.9"),
        ("10.0.0.1", ["1.1.1.1, 198.51.100.9, 10.9.9.9"], "198.51.100.9"),
        ("10.0.0.1", ["1.1.1.1", "198.51.100.9, 10.2.2.2"], "198.51.100.9"),
        ("10.0.0.1", ["10.3.3.3, 10.2.2.2"], "10.3.3.3"),
        ("2001:db8::1", ["[2001:470::9]:443"], "2001:470::9"),
        ("10.0.0.1", ["198.51.100.9:5555"], "198.51.100.9"),
        ("10.0.0.1", ["::ffff:198.51.100.9"], "198.51.100.9"),
        # what is not an address ends the walk at the last known hop
        ("10.0.0.1", ["198.51.100.9, unknown"], "10.0.0.1"),
        ("10.0.0.1", ["198.51.100.9, unknown, 10.2.2.2"], "10.2.2.2"),
        ("10.0.0.1", [""], "10.0.0.1"),
        ("10.0.0.1", [","], "10.0.0.1"),
    ],
)
def test_the_address_is_the_last_hop_that_a_trusted_one_vouches_for(peer, forwarded, expected):
    assert client_facts(_scope(peer, *forwarded), PROXIES).ip == expected


def test_forwarded_addresses_mean_nothing_without_trusted_proxies():
    assert client_facts(_scope("127.0.0.1", "198.51.100.9"), TrustedProxies()).ip == "127.0.0.1"


@pytest.mark.parametrize("peer", [None, "unix:"])
def test_a_proxy_on_a_unix_socket_is_trusted_where_the_configuration_says_so(
    peer: str | None, caplog: pytest.LogCaptureFixture
) -> None:
    scope = _scope(peer, "1.1.1.1, 198.51.100.9, 10.2.2.2")
    assert client_facts(scope, TrustedProxies(("unix", "10.0.0.0/8"))).ip == "198.51.100.9"
    assert client_facts(scope, TrustedProxies(("unix",))).ip == "10.2.2.2"
    assert client_facts(_scope(peer), TrustedProxies(("unix",))).ip is None
    assert client_facts(scope, PROXIES).ip is None
    client_address._warn_of_proxy.cache_clear()
    assert client_facts(scope, TrustedProxies()).ip is None
    assert "add unix to trusted_proxies" in caplog.text


def test_the_peer_of_a_network_is_no_proxy_because_those_of_the_unix_socket_are():
    assert client_facts(_scope("192.0.2.1", "198.51.100.9"), TrustedProxies(("unix",))).ip == "192.0.2.1"


def test_a_chain_of_thousands_of_trusted_hops_costs_only_the_last_few():
    chain = ", ".join(["10.1.1.1"] * 5000)
    assert client_facts(_scope("10.0.0.1", chain), PROXIES).ip == "10.1.1.1"


def test_the_user_agent_is_kept_short_and_free_of_control_characters():
    facts = client_facts(_scope("192.0.2.1", user_agent="Mozilla\x1b[31m " + "x" * 1000), TrustedProxies())
    assert facts.user_agent is not None
    assert facts.user_agent.startswith("Mozilla [31m")
    assert len(facts.user_agent) == 512


@pytest.mark.parametrize(
    "host", ["127.0.0.1", "127.0.0.1:8000", "localhost", "LOCALHOST:80", "[::1]:8000", "127.8.8.8"]
)
@pytest.mark.parametrize("peer", ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
def test_a_loopback_peer_that_names_a_loopback_host_is_on_this_machine(peer, host):
    require_loopback(_scope(peer, host=host))


@pytest.mark.parametrize(
    "scope",
    [
        _scope("192.0.2.1"),
        _scope(None),
        _scope("127.0.0.1", host=None),
        _scope("127.0.0.1", host="evil.example"),
        _scope("127.0.0.1", host="127.0.0.1.evil.example"),
        _scope("127.0.0.1", host="localhost.evil.example:8000"),
        _scope("127.0.0.1", host="localhost@evil.example"),
        _scope("127.0.0.1", host=""),
        _scope("127.0.0.1", host="0.0.0.0"),
        _scope("127.0.0.1", host="[::1]evil.example"),
        _scope("127.0.0.1", host="[::1]:80evil"),
        _scope("127.0.0.1", host="127.0.0.1%evil.example"),
        {"client": ("127.0.0.1", 1), "headers": [(b"host", b"localhost"), (b"via", b"1.1 proxy")]},
        {"client": ("127.0.0.1", 1), "headers": [(b"host", b"localhost"), (b"x-real-ip", b"192.0.2.1")]},
        {"client": ("127.0.0.1", 1), "headers": [(b"host", b"localhost"), (b"x-forwarded-host", b"x")]},
        _scope("127.0.0.1", "198.51.100.9"),
        _scope("127.0.0.1", forwarded="for=198.51.100.9"),
        {"client": ("127.0.0.1", 1), "headers": [(b"host", b"localhost"), (b"host", b"evil.example")]},
    ],
)
def test_everybody_else_is_not(scope):
    with pytest.raises(LoopbackOnly):
        require_loopback(scope)
