"""The admin's directory and a user's sessions at a million users and three million sessions.

Seeded by COPY. Each question is asked as the service asks it; its plan must not read a whole table, except
for the substring search, which cannot do without. ``--users 100000`` makes it smaller.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from beside.database import config_for, fresh_database, private_key

from authkit_issuer import Service
from authkit_issuer.domains.admin import queries as directory
from authkit_issuer.domains.admin.queries import Shape
from authkit_issuer.domains.sessions import queries
from authkit_issuer.store.query import Query

BATCH = 20_000
REPEATS = 21
SESSIONS_EACH = 3
START = datetime(2024, 1, 1, tzinfo=UTC)
Question = Callable[[], Awaitable[object]]


def user_rows(first: int, count: int) -> Iterator[tuple[Any, ...]]:
    """Yield users whose ids follow from their number."""
    for number in range(first, first + count):
        made = START + timedelta(seconds=number * 37)
        name = f"user_{number:07d}"
        yield user_id(number), f"{name}@example.test", name, True, made, made, made + timedelta(days=3)


def session_rows(issuer: str, first: int, count: int) -> Iterator[tuple[Any, ...]]:
    """Yield three live sessions for each of the users."""
    for number in range(first, first + count):
        for session in range(SESSIONS_EACH):
            used = START + timedelta(seconds=number * 37 + session)
            session_id = uuid.UUID(int=(number + 1) << 32 | session)
            yield session_id, session_id, user_id(number), issuer, b"\0" * 32, used, used, None


def user_id(number: int) -> uuid.UUID:
    """Return the id of a user by number, scattered as random ids are."""
    return uuid.uuid5(uuid.NAMESPACE_OID, str(number))


async def seed(service: Service, users: int) -> None:
    """Fill the tables."""
    assert service.pool is not None
    async with service.pool.acquire() as connection:
        for first in range(0, users, BATCH):
            count = min(BATCH, users - first)
            await connection.copy_records_to_table(
                "users", schema_name="profiles", records=user_rows(first, count),
                columns=("id", "email", "username", "email_verified", "created_at", "updated_at",
                         "last_login"),
            )  # fmt: skip
            await connection.copy_records_to_table(
                "refresh_sessions", schema_name="profiles",
                records=session_rows(service.config.issuer, first, count),
                columns=("id", "family_id", "user_id", "issuer", "token_key", "created_at", "last_used_at",
                         "expires_at"),
            )  # fmt: skip
            progress(first + count, users)
        await connection.execute(
            """
            insert into profiles.user_roles (user_id, role_id)
            select u.id, r.id from profiles.users u cross join profiles.roles r
            where u.username like 'user_00001%'
            """
        )
        await connection.execute("vacuum analyze profiles.users")
        await connection.execute("vacuum analyze profiles.refresh_sessions")
        await connection.execute("analyze profiles.user_roles")


def progress(done: int, of: int) -> None:
    """Print the progress of the seeding, on standard error."""
    width = 40 * done // of
    print(
        f"\r{'#' * width}{'.' * (40 - width)} {done:,} of {of:,} users", end="", file=sys.stderr, flush=True
    )
    if done == of:
        print(file=sys.stderr)


Asked = dict[str, tuple[Question, Query[Any], tuple[Any, ...], bool]]
"""By name: the call, the statement behind it, its parameters, and whether it may read a table."""


def page(order: tuple[str, bool] = ("created_at", True), **shape: Any) -> Query[Any]:
    return directory.PAGES[Shape(**shape), order]


def pages(service: Service) -> Asked:
    """Return the queries of an administrator who pages through the directory."""
    ask = service.admin.list_users
    return {
        "first page": (ask, page(), (50, 0), False),
        "by name": (
            lambda: ask(sort="username", desc=False), page(("username", False)), (50, 0), False,
        ),
        "by last login": (lambda: ask(sort="last_login"), page(("last_login", True)), (50, 0), False),
        "every user, by age": (lambda: ask(status="any"), page(status="any"), (50, 0), False),
        "holders of a role": (lambda: ask(role="admin"), page(with_role=True), ("admin", 50, 0), False),
    }  # fmt: skip


def searches(service: Service, users: int) -> Asked:
    """Return the queries of an administrator who searches for one user."""
    admin, middle = service.admin, users // 2
    name, someone = f"user_{middle:07d}", str(user_id(middle))
    prefix = directory.search_terms(name[:10], "prefix")[1]
    inside = directory.search_terms(name[3:], "substring")[1]
    return {
        "one address": (
            lambda: admin.list_users(search=f"{name}@example.test"),
            page(search="email"), (f"{name}@example.test", 50, 0), False,
        ),
        "beginning of a name": (
            lambda: admin.list_users(search=name[:10]), page(search="prefix"), (*prefix, 50, 0), False,
        ),
        "one user": (
            lambda: admin.get_user(someone), page(status="any", search="id"), (someone, 1, 0), False,
        ),
        "a user's sessions": (
            lambda: admin.list_sessions(someone),
            queries.LIST, (someone, service.config.issuer, None), False,
        ),
        "inside a name": (
            lambda: admin.list_users(search=name[3:], match="substring"),
            page(search="substring"), (*inside, 50, 0), True,
        ),
    }  # fmt: skip


async def scans(service: Service, query: Query[Any], arguments: tuple[Any, ...]) -> list[str]:
    """Return the big tables that the plan of a statement reads from end to end."""
    assert service.pool is not None
    text = await service.pool.fetchval(f"explain (format json) {query.text('profiles')}", *arguments)
    found: list[str] = []

    def walk(node: dict[str, Any]) -> None:
        if node["Node Type"] == "Seq Scan" and node["Relation Name"] in {"users", "refresh_sessions"}:
            found.append(node["Relation Name"])
        for below in node.get("Plans", ()):
            walk(below)

    walk(json.loads(text)[0]["Plan"])
    return found


async def main() -> None:
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--users", type=int, default=1_000_000)
    users = options.parse_args().users
    random.seed(1)
    failed = False
    async with fresh_database() as dsn, await Service.open(config_for(dsn, private_key("EdDSA"))) as service:
        await seed(service, users)
        print(f"{'question':<22}{'median ms':>10}{'p95 ms':>9}  reads whole")
        for name, (ask, query, arguments, may_scan) in (pages(service) | searches(service, users)).items():
            took = []
            for _ in range(REPEATS):
                started = time.perf_counter()
                await ask()
                took.append((time.perf_counter() - started) * 1000)
            tables = await scans(service, query, arguments)
            failed = failed or (bool(tables) and not may_scan)
            quantile = sorted(took)[int(len(took) * 0.95)]
            whole = ", ".join(tables) or "nothing"
            print(f"{name:<22}{statistics.median(took):>10.1f}{quantile:>9.1f}  {whole}")
    if failed:
        sys.exit("a question reads a whole table")


if __name__ == "__main__":
    asyncio.run(main())
