"""``authkit mail``: the mail server of the settings."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import aclosing
from typing import Annotated

import typer

from authkit_issuer import identifiers
from authkit_issuer.cli import output
from authkit_issuer.cli.output import AsJson
from authkit_issuer.config import Config, process_environment
from authkit_issuer.errors import StartupError
from authkit_issuer.ports import SendFailure
from authkit_issuer.senders.configured import mail_sender, mails
from authkit_issuer.senders.smtp import SmtpSender

app = typer.Typer(no_args_is_help=True, help="The mail server of AUTHKIT_SMTP_URL.")


@app.callback()
def _group() -> None:
    """Keep this a group although it has one command."""


@app.command("test")
def send_test(
    address: Annotated[str, typer.Argument(help="The address that receives the mail.")],
    *,
    as_json: AsJson = False,
) -> None:
    """Send a mail, and print what the server said."""
    recipient = identifiers.email(address)
    # A mail needs neither issuer nor audience; serve checks them.
    config = Config.from_env(process_environment(), issuer="-", issued_audiences=("-",))
    sender = mail_sender(config, mails(config), time.time, os.urandom)
    try:
        asyncio.run(_send(sender, recipient))
    except SendFailure as error:
        raise StartupError(f"The mail was not sent: {error}.") from error
    document = {"done": "sent", "email": recipient}
    output.say(document, f"the server accepted a mail to {recipient}", as_json=as_json)


async def _send(sender: SmtpSender, recipient: str) -> None:
    async with aclosing(sender):
        await sender.send_test(recipient)
