"""A mail server on the loopback interface, as a running issuer meets one."""

from __future__ import annotations

import email
import email.policy
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from email.message import EmailMessage
from typing import Any

from aiosmtpd.controller import Controller

from fakes.patience import PATIENCE
from fakes.ports import free_port

_CODE = re.compile(r"^ +(\d{6})\s*$", re.MULTILINE)


def text_of(mail: EmailMessage) -> str:
    """Return the plain text of a mail."""
    part = mail.get_body(("plain",))
    assert part is not None
    return str(part.get_content()).replace("\r\n", "\n")


class MailServer:
    """Takes every mail; other threads may wait for one."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.url = ""
        self._changed = threading.Condition()

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:  # noqa: N802 - the library's
        mail = email.message_from_bytes(envelope.content, policy=email.policy.SMTP)
        assert isinstance(mail, EmailMessage)
        with self._changed:
            self.mails.append(mail)
            self._changed.notify_all()
        return "250 OK"

    def wait_for(self, address: str, text: str = "") -> EmailMessage:
        """Return the newest mail to an address that holds the text, once there is one."""

        def found() -> list[EmailMessage]:
            return [
                mail
                for mail in self.mails
                if mail["To"] == address and text in " ".join(text_of(mail).split())
            ]

        with self._changed:
            assert self._changed.wait_for(found, PATIENCE), f"no mail to {address} arrived"
            return found()[-1]

    def code(self, address: str) -> str:
        """Return the code of the newest mail to an address that has one."""
        (code,) = _CODE.findall(text_of(self.wait_for(address, " code is:")))
        return str(code)


@contextmanager
def mail_server() -> Iterator[MailServer]:
    """Run the mail server while the block runs."""
    box = MailServer()
    controller = Controller(box, hostname="127.0.0.1", port=free_port())
    controller.start()
    box.url = f"smtp+plain://127.0.0.1:{controller.port}"
    try:
        yield box
    finally:
        controller.stop()
