"""The issuer inside a transaction of SQLAlchemy: it works on the connection of the driver, asyncpg."""

from __future__ import annotations

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from authkit_issuer import Service


async def sign_up(engine: AsyncEngine, service: Service, email: str, username: str) -> str:
    """Write an order of yours and create its account; both are committed with SQLAlchemy's transaction."""
    async with engine.begin() as connection:
        # SQLAlchemy begins at its first statement: have one before the service joins.
        order = await connection.scalar(text("insert into orders (item) values ('tea') returning id"))
        raw = (await connection.get_raw_connection()).driver_connection
        async with service.transaction(connection=raw) as tx:
            user = await tx.users.create(email, username)
        await connection.execute(
            text("update orders set user_id = cast(:user as uuid) where id = :id"),
            {"user": user.id, "id": order},
        )
    return user.id
