"""Your rows and the issuer's in one transaction: all of them are written, or none."""

from __future__ import annotations

import asyncpg

from authkit_issuer import Service


async def import_user(service: Service, email: str, username: str) -> str:
    """Create an account and your customer of it in a transaction of the service."""
    async with service.transaction() as tx:
        user = await tx.users.create(email, username)
        await tx.connection.execute("insert into customers (user_id, plan) values ($1, 'free')", user.id)
        await tx.sessions.issue(user.id, method="import")
    return user.id


async def rename_customer(
    service: Service, pool: asyncpg.Pool[asyncpg.Record], user_id: str, username: str
) -> None:
    """Let the service join a transaction of yours; its mails leave once yours has committed."""
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("update customers set renamed_at = now() where user_id = $1", user_id)
        async with service.transaction(connection=connection) as tx:
            await tx.users.update_username(user_id, username)
