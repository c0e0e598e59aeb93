"""Where webhooks may go: not to what only this machine can reach."""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from typing import Any

import pytest
from cryptography import x509

from authkit_issuer import Config, errors
from authkit_issuer.domains.webhooks import addresses
from authkit_issuer.domains.webhooks.client import WebhookClient
from fakes.certificates import private_ca
from fakes.receiver import receiving

PRODUCTION = {"environment": "production", "issuer": "https://id.example.test", "issued_audiences": ("api",)}


def production(**changes: Any) -> Config:
    return Config(**(PRODUCTION | changes))


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "224.0.0.1", "255.255.255.255", "240.0.0.1", "::1", "::", "fe80::1", "fc00::1", "fd00:ec2::254",
        "ff02::1", "::ffff:127.0.0.1", "::ffff:169.254.169.254", "64:ff9b::a00:1", "2002:7f00:1::", "fec0::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe", "192.0.0.8", "192.88.99.1", "168.63.129.16", "3fff::1",
    ],
)  # fmt: skip
async def test_an_address_that_is_not_public_is_refused_in_every_notation(address: str) -> None:
    host = f"[{address}]" if ":" in address else address
    with pytest.raises(addresses.AddressRefused, match="webhook_networks"):
        await addresses.Names(production()).addresses_of(f"https://{host}/hook")


async def test_a_name_with_private_addresses_alone_is_refused(monkeypatch) -> None:
    """Unusual spellings of an address, such as 2130706433, are names to us: the resolver reads them."""

    async def resolve(*_: object, **__: object) -> list[Any]:
        return [(2, 1, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    for host in ("intern.example.test", "2130706433", "0x7f.1"):
        with pytest.raises(addresses.AddressRefused, match="not public"):
            await addresses.Names(production()).addresses_of(f"https://{host}/hook")


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f:cb07:6820:80da:af6b:8b2c", "64:ff9b::808:808"]
)
def test_a_public_address_is_allowed(address: str) -> None:
    assert addresses.is_public(addresses.embedded(ipaddress.ip_address(address)))


async def test_a_network_of_the_setting_is_allowed_and_no_other() -> None:
    config = production(webhook_networks=("10.1.0.0/16", "fd00::/8"))
    assert await addresses.Names(config).addresses_of("https://10.1.2.3/")
    assert await addresses.Names(config).addresses_of("https://[fd00::1]/")
    with pytest.raises(addresses.AddressRefused):
        await addresses.Names(config).addresses_of("https://10.2.2.3/")


async def test_of_several_addresses_of_a_name_only_the_public_ones_are_used(monkeypatch) -> None:
    async def resolve(*_: object, **__: object) -> list[Any]:
        return [(2, 1, 6, "", (address, 443)) for address in ("10.0.0.1", "93.184.215.14", "169.254.169.254")]

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    found = await addresses.Names(production()).addresses_of("https://mixed.example.test/")
    assert [str(address) for address in found] == ["93.184.215.14"]


async def test_a_name_that_changes_its_address_is_not_looked_up_again(config, receiver, monkeypatch) -> None:
    looked: list[str] = []
    real = socket.getaddrinfo

    def resolve(host: Any, port: Any, *args: Any, **more: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name == "rebinding.localhost":
            looked.append(name)
            return real("127.0.0.1" if len(looked) == 1 else "192.0.2.1", port, *args, **more)
        return real(host, port, *args, **more)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    client = WebhookClient(config)
    url = receiver.url.replace("127.0.0.1", "rebinding.localhost")
    assert (await client.post(url, {}, b"{}")).ok
    await client.aclose()
    assert looked == ["rebinding.localhost"]
    assert receiver.received[0].headers["host"] == url.split("/")[2]


async def test_a_refused_address_is_an_outcome_and_sends_nothing(receiver) -> None:
    client = WebhookClient(production())
    outcome = await client.post(receiver.url, {}, b"{}")
    await client.aclose()
    assert not outcome.ok
    assert "127.0.0.1" in outcome.text
    assert receiver.received == []


async def test_the_certificate_has_to_be_of_the_name(config, tmp_path, monkeypatch) -> None:
    file = await asyncio.to_thread(private_ca, tmp_path / "ca.pem", x509.DNSName("localhost"))
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    await asyncio.to_thread(tls.load_cert_chain, file)
    client = WebhookClient(config)
    async with receiving(tls) as receiver:
        outcomes = [
            await client.post(receiver.url.replace("127.0.0.1", host), {}, b"{}")
            for host in ("localhost", "127.0.0.1")
        ]
    await client.aclose()
    assert [outcome.ok for outcome in outcomes] == [True, False]
    assert len(receiver.received) == 1


@pytest.mark.parametrize(
    "url",
    ["http://example.com/", "ftp://example.com/", "https://user:pw@example.com/", "https://example.com/#x",
     "https://", "example.com", "https://example.com/" + "a" * 2000, "https://exa\nmple.com/"],
)  # fmt: skip
async def test_a_url_that_cannot_be_used_is_refused_when_it_is_added(service, url: str) -> None:
    with pytest.raises(errors.Invalid):
        await service.webhooks.add(url)


def test_http_is_for_this_machine_outside_of_production() -> None:
    assert addresses.is_url(production(environment="test"), "http://localhost:8000/hook")
    assert not addresses.is_url(production(), "http://localhost:8000/hook")
    assert not addresses.is_url(production(environment="test"), "http://10.0.0.1/hook")


def test_a_network_that_is_none_is_refused() -> None:
    with pytest.raises(errors.ConfigError, match="webhook_networks"):
        production(webhook_networks=("10.1.0.0/99",))


async def test_name_servers_that_are_silent_leave_threads_to_others(monkeypatch) -> None:
    asked: list[str] = []
    silent = asyncio.Event()

    async def resolve(host: str, *_: object, **__: object) -> list[Any]:
        asked.append(host)
        await silent.wait()
        raise socket.gaierror

    monkeypatch.setattr(asyncio.get_running_loop(), "getaddrinfo", resolve)
    names = addresses.Names(production())
    impatient = [
        asyncio.create_task(names.addresses_of(f"https://{number}.example.test/")) for number in range(8)
    ]
    await asyncio.sleep(0.01)
    for task in impatient:  # as after the time of a delivery
        task.cancel()
    await asyncio.gather(*impatient, return_exceptions=True)
    later = asyncio.create_task(names.addresses_of("https://later.example.test/"))
    await asyncio.sleep(0.01)
    assert asked == ["0.example.test", "1.example.test"]
    silent.set()
    with pytest.raises(OSError):
        await later
    assert asked[2:] == ["later.example.test"]
