"""No password, hash, code or token of any flow shows in a log, a refusal or a repr."""

from __future__ import annotations

import logging
import traceback

import pytest

from authkit_issuer import errors
from authkit_issuer.domains.base.first_factor import FirstFactor
from authkit_issuer.domains.credentials.identifier import BY_EMAIL, Frequency
from authkit_issuer.service import Service
from fakes.users import finish_background

EMAIL = "ada@example.test"
OLD, NEW, WRONG = "old-secret-horse", "new-secret-horse", "wrong-secret-horse"


async def test_the_log_of_every_flow_is_clean(make_service, mailbox, caplog, key_source) -> None:
    service = await make_service(hash_deadline=5.0)
    seen: list[str] = []
    with caplog.at_level(logging.DEBUG):
        user = await service.users.add(email=EMAIL, username="ada_l", verified=True)
        await service.passwords.change(user.id, "", OLD)
        await refuse(seen, service.passwords.login(EMAIL, WRONG))
        await refuse(seen, service.passwords.change(user.id, WRONG, NEW))
        await refuse(seen, service.passwords.change(user.id, OLD, "secret" + chr(0xD800) * 8))
        await service.passwords.login(EMAIL, OLD)
        await service.passwords.request_reset(EMAIL)
        await finish_background(service)
        token = mailbox.last(EMAIL).token
        mailbox.failure = RuntimeError(f"could not send {token} to {EMAIL}")
        await service.passwords.request_phone_reset("+4915112345678")
        await service.passwords.request_reset(EMAIL)
        await finish_background(service)
        await refuse(seen, service.passwords.confirm_reset(token, "short"))
        await refuse(seen, service.passwords.confirm_reset(token[:-1], NEW))
        await service.passwords.confirm_reset(token, NEW)
        await refuse(seen, service.passwords.confirm_reset(token, NEW))
    stored = await service.pool.fetchval("select password_hash from profiles.user_passwords")
    told = [f"{record.getMessage()} {record.args} {record.exc_info}" for record in caplog.records]
    told += [*seen, repr(service), repr(service.passwords), repr(service.hashing)]
    for secret in ("secret-horse", token, token[:20], stored, stored[-30:]):
        assert secret not in "\n".join(told)


async def refuse(seen: list[str], call) -> None:
    with pytest.raises(errors.AuthError) as refused:
        await call
    error: BaseException | None = refused.value
    seen.append(f"{error!r} {error} {refused.value.metadata}")
    while error is not None:
        # The lines of source in a traceback are this test's own: what shows of a value is the error's text.
        seen.extend(traceback.format_exception_only(error))
        error = None if error.__suppress_context__ and not error.__cause__ else error.__cause__


async def test_rows_that_hold_a_hash_do_not_show_it(service: Service) -> None:
    user = await service.users.create(EMAIL, "ada_l")
    await service.passwords.change(user.id, "", OLD)
    found = await service.rt.maybe(BY_EMAIL, EMAIL)
    assert found.password_hash
    frequency = Frequency(example=found.password_hash, hash_algo="argon2id", accounts=1)
    for shown in (
        repr(found),
        repr(found.stored),
        repr(frequency),
        repr(FirstFactor(user_id=user.id, auth_epoch=0)),
    ):
        assert found.password_hash not in shown
        assert "argon2id$" not in shown
