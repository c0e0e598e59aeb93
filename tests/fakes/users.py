"""Registering and having accounts, as tests of contacts need it."""

from __future__ import annotations

from authkit_issuer.ports import Client
from authkit_issuer.service import Service
from fakes.mail import Mailbox
from fakes.patience import PATIENCE

EMAIL, PHONE, PASSWORD = "ada@example.test", "+4915112345678", "correct horse battery"


async def finish_background(service: Service) -> None:
    """Wait for what runs in the background."""
    await service.rt.background.drain(timeout=PATIENCE)


async def register(
    service: Service,
    identifier: str = EMAIL,
    name: str = "ada_l",
    password: str = PASSWORD,
    ip: str = "192.0.2.1",
) -> str:
    """Start a registration, wait for its message and return its id."""
    started = await service.registration.register(identifier, name, password, client=Client(ip=ip))
    await finish_background(service)
    return started.registration_id


async def verified_user(
    service: Service, mailbox: Mailbox, identifier: str = EMAIL, name: str = "ada_l"
) -> str:
    """Register, confirm and return the user id."""
    registration_id = await register(service, identifier, name)
    code = mailbox.last(identifier).code
    return (await service.registration.redeem(identifier, code, registration_id=registration_id)).user_id


async def unverified_user(
    service: Service, email: str | None = EMAIL, name: str = "ada_l", phone: str | None = None
) -> str:
    """Return the id of a user none of whose contacts is proved."""
    return (await service.users.add(email=email, phone=phone, username=name)).id
