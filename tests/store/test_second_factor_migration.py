"""Several second factors per user: nothing is lost, and the release before runs beside this one."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest

from authkit_issuer.domains.factors import changes as sql
from authkit_issuer.store.migrate import migrate, shipped

NUMBER, OTHER = "+15550100200", "+15550100201"
SCHEMA = "factors_before"

# The statements of the release before, as its processes go on to send them.
OLD_ENABLE = """
insert into profiles.two_factor_settings (user_id, enabled, method, phone_number, backup_codes)
values ($1::uuid, true, $2, $3, $4::text[])
on conflict (user_id) do update
set enabled = true, method = excluded.method, phone_number = excluded.phone_number,
    backup_codes = excluded.backup_codes, frozen_at = null, updated_at = now()
"""
OLD_DISABLE = """
update profiles.two_factor_settings
set enabled = false, phone_number = null, backup_codes = '{}', frozen_at = null, updated_at = now()
where user_id = $1::uuid and enabled
"""


class Database:
    """A schema in which the release before has left its rows."""

    def __init__(self, connection: asyncpg.Connection[Any], url: str) -> None:
        self.connection, self.url = connection, url

    async def upgrade(self) -> None:
        await migrate(self.url, schema=SCHEMA)

    async def execute(self, text: str, *args: object) -> None:
        await self.connection.execute(text.replace("profiles.", f"{SCHEMA}."), *args)

    async def user(self) -> str:
        user = str(uuid.uuid4())
        await self.execute("insert into profiles.users (id) values ($1::uuid)", user)
        return user

    async def factors(self, user: str) -> list[tuple[Any, ...]]:
        rows = await self.connection.fetch(
            f"select kind, phone_number, is_default from {SCHEMA}.second_factors"
            " where user_id = $1::text::uuid order by kind, phone_number",
            user,
        )
        return [tuple(row) for row in rows]

    async def settings(self, user: str) -> tuple[Any, ...]:
        row = await self.connection.fetchrow(
            f"select enabled, method, phone_number from {SCHEMA}.two_factor_settings"
            " where user_id = $1::text::uuid",
            user,
        )
        return tuple(row)

    async def run(self, query: Any, *args: object) -> None:
        await self.connection.execute(query.text(SCHEMA), *args)


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    connection = await asyncpg.connect(database_url)
    await connection.execute(f"drop schema if exists {SCHEMA} cascade")
    before = [migration for migration in shipped() if migration.version < 18]
    await migrate(database_url, schema=SCHEMA, migrations=before)
    yield Database(connection, database_url)
    await connection.execute(f"drop schema if exists {SCHEMA} cascade")
    await connection.close()


async def test_every_factor_that_is_on_becomes_a_default_factor(database: Database) -> None:
    email, sms, off, frozen, none = [await database.user() for _ in range(5)]
    await database.execute(OLD_ENABLE, email, "email", None, ["1:a", "1:b"])
    await database.execute(OLD_ENABLE, sms, "sms", NUMBER, ["1:c"])
    await database.execute(OLD_ENABLE, off, "sms", NUMBER, [])
    await database.execute(OLD_DISABLE, off)
    await database.execute(OLD_ENABLE, frozen, "email", None, [])
    await database.execute(
        "update profiles.two_factor_settings set frozen_at = now() where user_id = $1::uuid", frozen
    )
    await database.upgrade()
    assert await database.factors(email) == [("email", None, True)]
    assert await database.factors(sms) == [("sms", NUMBER, True)]
    assert await database.factors(off) == []
    assert await database.factors(frozen) == [("email", None, True)]
    assert await database.factors(none) == []
    codes = await database.connection.fetchval(
        f"select backup_codes from {SCHEMA}.two_factor_settings where user_id = $1::text::uuid", email
    )
    assert codes == ["1:a", "1:b"]


async def test_what_the_release_before_writes_are_factors_of_this_one(database: Database) -> None:
    await database.upgrade()
    user = await database.user()
    await database.execute(OLD_ENABLE, user, "email", None, [])
    assert await database.factors(user) == [("email", None, True)]
    await database.execute(OLD_ENABLE, user, "sms", NUMBER, [])
    assert await database.factors(user) == [("sms", NUMBER, True)]
    await database.execute(OLD_ENABLE, user, "sms", OTHER, [])
    assert await database.factors(user) == [("sms", OTHER, True)]
    await database.execute(OLD_DISABLE, user)
    assert await database.factors(user) == []


async def with_app(database: Database, *kinds: tuple[str, str | None]) -> str:
    """A user of this release with an app, the default, and these factors."""
    user = await database.user()
    app = str(uuid.uuid4())
    await database.run(sql.ADD, user, app, "totp", "", None, b"sealed", 1, -1)
    await database.run(sql.SET_DEFAULT, user, app)
    for kind, number in kinds:
        await database.run(sql.ADD, user, str(uuid.uuid4()), kind, "", number, None, None, -1)
    await database.run(sql.ENABLE, user, ["1:a"])
    return user


async def test_the_release_before_asks_every_user_of_this_one_for_a_second_factor(database: Database) -> None:
    await database.upgrade()
    alone = await with_app(database)
    # It sends no code to a number that is not there, and takes backup codes.
    assert await database.settings(alone) == (True, "sms", None)
    beside = await with_app(database, ("email", None), ("sms", NUMBER))
    assert (await database.settings(beside))[0] is True
    assert (await database.settings(beside))[1:] in {("email", None), ("sms", NUMBER)}
    assert len(await database.factors(beside)) == 3


async def test_a_factor_of_the_release_before_leaves_the_app(database: Database) -> None:
    await database.upgrade()
    user = await with_app(database, ("sms", NUMBER))
    await database.execute(OLD_ENABLE, user, "email", None, [])
    assert await database.factors(user) == [("email", None, True), ("totp", None, False)]
    await database.execute(OLD_DISABLE, user)
    assert await database.factors(user) == []


async def test_no_frozen_factor_comes_back_with_one_of_the_release_before(database: Database) -> None:
    await database.upgrade()
    user = await with_app(database, ("email", None))
    await database.execute("update profiles.two_factor_settings set frozen_at = now()")
    await database.execute(OLD_ENABLE, user, "email", None, [])
    assert await database.factors(user) == [("email", None, True)]
