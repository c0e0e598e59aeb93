"""What a reader of the Redis learns of users: no email address, no phone number, no password hash."""

from __future__ import annotations

from typing import Any

import redis

from authkit_issuer import Client
from authkit_issuer.service import Service
from fakes.users import finish_background

PHONES = ("+4915112345678", "+4915112345679", "+4915112345670")
PASSWORD = "a good long password"


async def fill(service: Service) -> None:
    """Begin everything that waits for a code or link."""
    client = Client(ip="192.0.2.1")
    await service.registration.register("pending@example.test", "pending_e", PASSWORD, client=client)
    await service.registration.register(PHONES[0], "pending_p", PASSWORD, client=client)
    user = await service.users.add(email="ada@example.test", username="ada_l", verified=True)
    await service.two_factor.send_email_setup_code(user.id, client=client)
    await service.two_factor.send_phone_setup_code(user.id, PHONES[1], client=client)
    await service.contact_changes.request_email(user.id, "new@example.test", client=client)
    await service.contact_changes.request_phone(user.id, PHONES[2], client=client)
    await service.passwords.request_reset("ada@example.test", client=client)
    await service.verification.request_email("unknown@example.test", client=client)
    await finish_background(service)


async def test_redis_holds_no_address_number_or_password_hash(
    make_service: Any, redis_url: str, mailbox: Any
) -> None:
    service = await make_service(redis_url=redis_url, code_cooldown=0)
    await fill(service)
    code = mailbox.last(PHONES[1]).code
    user = await service.users.get_by_email("ada@example.test")
    assert await service.two_factor.verify_phone_setup_code(user.id, PHONES[1], code)
    with redis.Redis.from_url(redis_url) as reader:
        held = repr({key: reader.get(key) for key in reader.keys("*")})
    assert held.count("': b'") > 15
    for secret in (*PHONES, "4915112345", "example.test", "argon2"):
        assert secret not in held, secret
