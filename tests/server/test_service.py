"""What a host passes to a service, and what the service says it has."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import asyncpg
import pytest

from authkit_issuer import AuthSessionEvent, Entitlement, errors
from authkit_issuer.resources import Resources
from fakes.patience import PATIENCE
from fakes.users import finish_background


class Grants:
    async def list_entitlements(self, user_id: str) -> Sequence[Entitlement]:
        return [Entitlement(name="pro")]


async def test_a_pool_of_the_host_is_used_and_left_open(make_service, database_url: str) -> None:
    async with asyncpg.create_pool(database_url, min_size=1, max_size=2) as pool:
        service = await make_service(pool=pool, database_url=None)
        assert service.pool is pool
        user = await service.users.create("ada@example.test", "ada_l")
        await service.close()
        assert await pool.fetchval("select id::text from profiles.users") == user.id


async def test_a_service_says_which_senders_it_has(make_service, mailbox) -> None:
    full = await make_service()
    assert (full.has_email_sender, full.has_sms_sender) == (True, True)
    bare = await make_service(email_sender=mailbox, sms_sender=None)
    assert (bare.has_email_sender, bare.has_sms_sender) == (True, False)
    assert bare.ephemeral_mode == "memory"


async def test_the_provider_of_entitlements_is_the_hosts_own(make_service) -> None:
    grants = Grants()
    service = await make_service(entitlements_provider=grants)
    assert service.entitlements.provider is grants
    assert await service.entitlements.list_names("anybody") == ["pro"]
    assert (await make_service()).entitlements.provider is None


async def test_shared_organizations_are_not_read_as_none(make_service) -> None:
    multi = await make_service(org_mode="multi")
    users = [(await multi.users.create(None, name)).id for name in ("ada_l", "bob_m")]
    for slug in ("one", "two"):
        assert await make_service(org_mode="single")  # one of them, or none, may be the only organization
        await multi.orgs.create(slug, owner_user_id=users[0])
        await multi.org_members.add(slug, users[1])
    with pytest.raises(errors.OrgModeDowngradeRefused, match="set org_mode to multi") as refused:
        await make_service(org_mode="single")
    assert refused.value.code == "org_mode_downgrade_refused"
    await multi.org_members.remove("two", users[1])
    assert await make_service(org_mode="single")


async def test_what_failed_of_the_hosts_is_counted(make_service, mailbox) -> None:
    class Broken:
        name = "broken"

        async def list_entitlements(self, user_id: str) -> Sequence[Entitlement]:
            raise RuntimeError

        async def log_session_event(self, event: AuthSessionEvent) -> None:
            failed.set()
            raise RuntimeError

    failed = asyncio.Event()
    service = await make_service(entitlements_provider=Broken(), event_loggers=(Broken(),))
    assert service.failures == {"background": 0}
    mailbox.failure = RuntimeError()
    user = (await service.users.create("ada@example.test", "ada_l")).id
    await service.tokens.issue_access(user)
    await service.users.send_welcome(user)
    await finish_background(service)
    await failed.wait()
    while service.failures != {"background": 1, "entitlements": 1, "sink broken": 1}:
        await asyncio.sleep(0)


async def test_a_part_that_does_not_close_keeps_no_other_one_open() -> None:
    resources, closed = Resources(), list[str]()
    hangs = asyncio.Event()

    async def first() -> None:
        closed.append("first")

    async def broken() -> None:
        raise LookupError

    resources._closers += [first, broken, hangs.wait, broken]
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await resources.close()
    assert closed == []
    await resources.close()
    await resources.close()
    assert closed == ["first"]


async def test_database_and_ephemeral_store_are_asked_at_once(make_service, monkeypatch) -> None:
    service, both = await make_service(), asyncio.Barrier(2)

    async def asked(*_: object) -> None:
        await both.wait()

    monkeypatch.setattr(service.resources.readiness, "problem", asked)
    monkeypatch.setattr(service.rt.ephemeral, "ping", asked)
    async with asyncio.timeout(PATIENCE):
        assert await service.readiness() == {"database": None, "ephemeral_store": None}


async def test_a_part_of_maintenance_that_fails_keeps_no_other_from_its_turn(
    make_service, monkeypatch, clock
) -> None:
    service = await make_service()
    purged: list[str] = []

    async def broken(_: object) -> int:
        raise errors.DatabaseUnavailable

    async def purge(_: object) -> int:
        purged.append("orgs")
        return 0

    monkeypatch.setattr(type(service.sessions), "purge", broken)
    monkeypatch.setattr(type(service.orgs), "purge_deleted", purge)
    with pytest.raises(errors.DatabaseUnavailable):
        await service.maintain()
    assert purged == ["orgs"]


async def test_an_issuer_that_is_no_web_address_is_warned_of(make_service, caplog) -> None:
    with caplog.at_level("WARNING", "authkit.service"):
        await make_service()
        assert caplog.messages == []
        await make_service(issuer="our-issuer")
    assert caplog.messages == ["issuer is not a web address: verifiers cannot find the keys by themselves"]


async def test_details_name_the_role_of_the_database_and_survive_its_outage(
    make_service, database_url: str
) -> None:
    service = await make_service()
    found = await service.details()
    assert (found.database_role, found.database_error, found.ephemeral_store) == ("primary", "", "memory")
    read_only = await make_service(database_url=f"{database_url}&default_transaction_read_only=on")
    assert (await read_only.details()).database_role == "read-only"
    await read_only.pool.close()
    gone = await read_only.details()
    assert (gone.database_role, gone.schema_version) == ("unknown", None)
    assert gone.database_error.startswith("PostgreSQL: ")
    assert gone.program_schema_version == found.schema_version
