"""What ``redis_url`` may say, and what is said about everything else."""

from __future__ import annotations

import ssl

import pytest

from authkit_issuer.ephemeral.redis.address import Login, Node, parse
from authkit_issuer.errors import ConfigError


@pytest.mark.parametrize(
    ("url", "node"),
    [
        ("redis://h", "h:6379"),
        ("redis://", "localhost:6379"),
        ("valkey://h:7000/3", "h:7000"),
        ("redis://[::1]:7000/3", "[::1]:7000"),
        ("unix:///run/redis.sock?db=3", "/run/redis.sock"),
    ],
)
def test_one_server_is_named_by_host_or_path(url: str, node: str) -> None:
    address = parse(url)
    assert [str(found) for found in address.nodes] == [node]
    assert address.database == (3 if "3" in url else 0)
    assert address.tls is None


def test_a_login_is_decoded_and_kept_out_of_representations() -> None:
    for url in ("redis://al%40ice:p%2Fw@h/0", "redis://h/0?username=al@ice&password=p/w"):
        address = parse(url)
        assert address.login == Login(username="al@ice", password="p/w")
        assert "p/w" not in repr(address)
    assert parse("unix://:pw@/run/redis.sock").login == Login(password="pw")


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_sentinels_are_a_list_of_hosts_and_the_name_of_the_master(scheme: str) -> None:
    url = f"{scheme}+sentinel://:pw@a,b:1,[::1]/mymaster/2?sentinel_username=u&sentinel_password=s"
    address = parse(url)
    assert address.kind == "sentinel"
    assert address.nodes == (Node("a", 26379), Node("b", 1), Node("::1", 26379))
    assert (address.master, address.database) == ("mymaster", 2)
    assert address.login == Login(password="pw")
    assert address.sentinel_login == Login(username="u", password="s")


@pytest.mark.parametrize("scheme", ["redis", "valkey"])
def test_a_cluster_is_a_list_of_hosts(scheme: str) -> None:
    address = parse(f"{scheme}+cluster://u:pw@a:7000,b")
    assert (address.kind, address.nodes) == ("cluster", (Node("a", 7000), Node("b", 6379)))
    assert address.login == Login(username="u", password="pw")


@pytest.mark.parametrize("scheme", ["rediss", "valkeys", "rediss+sentinel", "valkeys+cluster"])
def test_tls_verifies_name_and_certificate_unless_told_otherwise(scheme: str) -> None:
    master = "/m" if "sentinel" in scheme else ""
    strict = parse(f"{scheme}://h{master}").tls
    assert strict is not None
    assert (strict.verify_mode, strict.check_hostname) == (ssl.CERT_REQUIRED, True)
    unnamed = parse(f"{scheme}://h{master}?ssl_check_hostname=false").tls
    assert unnamed is not None
    assert (unnamed.verify_mode, unnamed.check_hostname) == (ssl.CERT_REQUIRED, False)
    lax = parse(f"{scheme}://h{master}?ssl_cert_reqs=none").tls
    assert lax is not None
    assert lax.verify_mode == ssl.CERT_NONE


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "redis_url must be such as"),
        ("http://:sesame@h/0", "redis_url must be such as"),
        ("redis://:sesame@h:port/0", "redis_url must be such as"),
        ("redis://:sesame@h/nought", "redis_url must be such as"),
        ("redis://:sesame@h/0/1", "redis_url must be such as"),
        ("redis://:ses#ame@h/0", "redis_url must be such as"),
        ("redis+sentinel://:/sesame@h/0", "redis_url must be such as"),
        ("redis+proxy://:sesame@h/0", "redis_url must be such as"),
        ("unix://:sesame@", "redis_url must be such as"),
        ("redis://:sesame@a,b/0", r"several hosts: write redis\+sentinel"),
        ("redis+sentinel://:sesame@a,b", "names no master"),
        ("redis+cluster://:sesame@a,b/1", "has only 0"),
        ("redis://:sesame@h/0?sentinel=x", "unknown option: the known ones are db, "),
        ("redis://:sesame@h/0?socket_timeout=x", "unknown option"),
        ("redis://:sesame@h/0?ssl_ca_certs=x", "without rediss://"),
        ("rediss://:sesame@h/0?ssl_ca_certs=/nowhere", "ssl_ca_certs.*cannot be used"),
        ("rediss://:sesame@h/0?ssl_cert_reqs=perhaps", "ssl_cert_reqs"),
    ],
)
def test_another_address_is_refused_without_repeating_it(url: str, sentence: str) -> None:
    with pytest.raises(ConfigError, match=sentence) as refused:
        parse(url)
    assert "ses" not in str(refused.value)
