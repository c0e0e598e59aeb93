"""The connection is killed at every statement of a change of an organization."""

from __future__ import annotations

import pytest

from authkit_issuer import errors
from authkit_issuer.service import Service
from fakes.connection_killer import ConnectionKiller, Moment


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_a_deletion_is_wholly_done_or_not_at_all(
    service: Service, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    step = 0
    while True:
        step += 1
        owner = (await service.users.create(None, f"owner_{step}")).id
        org = (await service.orgs.create(f"org-{step}", owner_user_id=owner)).id
        await service.org_invites.create_for_email(f"org-{step}", "x@example.test", owner)
        connection_killer.arm(moment, step)
        failed = False
        try:
            await service.orgs.delete(org)
        except errors.DatabaseUnavailable:
            failed = True
        connection_killer.disarm()
        row = await service.pool.fetchrow(
            "select o.deleted_at is not null as deleted, i.status, ("
            "  select count(*) from profiles.session_events where event = 'org_deleted' and target = $2"
            ") as events from profiles.orgs o join profiles.org_invites i on i.org_id = o.id"
            " where o.id = $1::text::uuid",
            org,
            f"org:{org}",
        )
        assert tuple(row) in {(False, "pending", 0), (True, "revoked", 1)}
        assert row["deleted"] or failed
        if not connection_killer.struck:
            break
    assert step > 3


@pytest.mark.parametrize("moment", ["before", "after"])
async def test_an_accepted_invite_gives_membership_and_role_or_stays_open(
    service: Service, connection_killer: ConnectionKiller, moment: Moment
) -> None:
    owner = (await service.users.create(None, "owner_o")).id
    await service.orgs.create("acme", owner_user_id=owner)
    await service.orgs.define_role("acme", "editor")
    step = 0
    while True:
        step += 1
        guest = (await service.users.create(None, f"guest_{step}")).id
        invite = await service.org_invites.create("acme", guest, owner, role="editor")
        connection_killer.arm(moment, step)
        failed = False
        try:
            await service.org_invites.accept(invite.id, guest)
        except errors.DatabaseUnavailable:
            failed = True
        connection_killer.disarm()
        status = (await service.org_invites.get(invite.id, guest)).status
        roles = await service.org_members.list_roles("acme", guest)
        assert (status, roles) in [("pending", []), ("accepted", ["editor", "member"])]
        assert status == "accepted" or failed
        if not connection_killer.struck:
            break
    assert step > 4
