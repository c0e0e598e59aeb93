"""A session that was idle too long is over for every question that is asked of it."""

from __future__ import annotations

import pytest

from authkit_issuer import errors


async def test_an_idle_session_neither_shows_nor_lets_anybody_in(make_service, age) -> None:
    service = await make_service(refresh_token_duration=None, refresh_idle_duration=600.0)
    user = (await service.users.create("ada@example.test", "ada_l")).id
    issued = await service.sessions.issue(user)
    assert (await service.sessions.authenticate(user, issued.session_id)).id == user
    await age("refresh_sessions", issued.session_id, last_used_at=601)
    assert await service.sessions.list_for_user(user) == []
    with pytest.raises(errors.SessionEnded):
        await service.sessions.authenticate(user, issued.session_id)
    assert await service.sessions.purge() == 0
    await age("refresh_sessions", issued.session_id, last_used_at=service.config.session_retention)
    assert await service.sessions.purge() == 1


async def test_a_session_without_an_end_stays(make_service, age) -> None:
    service = await make_service(refresh_token_duration=None)
    user = (await service.users.create("ada@example.test", "ada_l")).id
    issued = await service.sessions.issue(user)
    await age("refresh_sessions", issued.session_id, last_used_at=10 * 365 * 86400)
    assert issued.expires_at is None
    assert await service.sessions.purge() == 0
    assert await service.sessions.exchange(issued.refresh_token)


async def test_a_user_deleted_after_the_proof_is_a_wrong_login(make_service) -> None:
    service = await make_service()
    user = (await service.users.create("ada@example.test", "ada_l")).id
    await service.pool.execute("delete from profiles.users")
    with pytest.raises(errors.InvalidCredentials):
        await service.sessions.sign_in(user, method="password_login", auth_epoch=0, amr=("pwd",))
