"""The connection is killed at every statement of a change of a user: the old state stands, or the new one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller, Moment
from fakes.users import finish_background

State = tuple[object, ...]

CHANGES: dict[str, Callable[[Service, str], Awaitable[object]]] = {
    "user_banned": lambda service, user: service.lifecycle.ban(user, "spam"),
    "user_soft_deleted": lambda service, user: service.lifecycle.soft_delete(user),
    "user_deleted": lambda service, user: service.lifecycle.hard_delete(user),
    "user_renamed": lambda service, user: service.users.update_username(user, f"n{user[:8]}"),
    "user_email_changed": lambda service, user: service.users.update_email(user, f"new{user[:8]}@e.test"),
}
ENDING = {"user_banned", "user_soft_deleted", "user_deleted"}


async def state(service: Service, user: str, kind: str) -> State:
    """Return what stands: the user's row, its names, its live sessions and the event of the change."""
    row = await service.users.get(user)
    return (
        row and (row.email, row.username, row.banned_at is None, row.deleted_at is None),
        await service.pool.fetchval(
            "select string_agg(slug || is_current, ' ' order by slug) from profiles.names"
            " where user_id = $1::text::uuid",
            user,
        ),
        len(await service.sessions.list_for_user(user)),
        await service.pool.fetchval(
            "select count(*) from profiles.session_events where user_id = $1 and event = $2", user, kind
        ),
    )


@pytest.mark.parametrize("moment", ["before", "after"])
@pytest.mark.parametrize("kind", CHANGES)
async def test_a_change_of_a_user_is_wholly_done_or_not_at_all(
    service: Service, mailbox, connection_killer: ConnectionKiller, kind: str, moment: Moment
) -> None:
    step = 0
    while True:
        step += 1
        user = (await service.users.create(f"ada{step}@example.test", f"ada_{step}")).id
        for _ in range(2):
            await service.sessions.issue(user)
        old = await state(service, user, kind)
        with connection_killer.striking(moment, step):
            await CHANGES[kind](service, user)
        between = await state(service, user, kind)
        if between != old:
            assert between[3] == 1
            assert between[2] == (0 if kind in ENDING else 2)
        with suppress(errors.UserNotFound):
            await CHANGES[kind](service, user)
        new = await state(service, user, kind)
        assert between[:3] in {old[:3], new[:3]}
        assert new != old
        assert new[2] == (0 if kind in ENDING else 2)
        if not connection_killer.struck:
            break
    await finish_background(service)
    assert step > 4
