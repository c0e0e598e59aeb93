"""Codes that a browser fills in (origin-bound one-time codes), for pages of this service alone."""

from __future__ import annotations

import pytest

from authkit_issuer.ports import web_host
from fakes.mail import Mailbox
from fakes.users import PHONE


class Listening:
    """The SMS side of a mailbox that keeps the host of the page."""

    def __init__(self, box: Mailbox) -> None:
        self._texts, self.hosts = box.texts, list[str]()

    async def send_verification_code(self, phone: str, code: str) -> None:
        self.hosts.append(web_host.get())
        await self._texts.send_verification_code(phone, code)

    def __getattr__(self, name: str):
        return getattr(self._texts, name)


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("https://app.example.test", "app.example.test"),
        ("https://auth.example.test", "auth.example.test"),
        ("https://pages.example.test:8443", "pages.example.test"),
        ("https://evil.example", ""),
        ("https://app.example.test.evil.example", ""),
        ("http://app.example.test", ""),
        ("null", ""),
        (None, ""),
    ],
)
async def test_only_a_page_that_may_call_names_its_host(
    make_service, serve, mailbox: Mailbox, origin: str | None, host: str
) -> None:
    sender = Listening(mailbox)
    service = await make_service(
        sms_sender=sender,
        cors_origins=("https://app.example.test",),
        base_url="https://auth.example.test/id",
        link_base_url="https://pages.example.test:8443/account",
    )
    async with serve(service) as api:
        body = {"identifier": PHONE, "username": "ada_l", "password": "correct horse battery"}
        headers = {"origin": origin} if origin else {}
        assert (await api.post("/auth/register", json=body, headers=headers)).status_code == 202
        await api.delivered()
    assert sender.hosts == [host]
