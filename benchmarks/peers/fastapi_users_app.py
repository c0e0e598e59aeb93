"""fastapi-users over asyncpg and SQLAlchemy, with its JWT strategy and its database strategy in one process.

    python fastapi_users_app.py PORT HASH SOCKETS DATABASE

``HASH`` is "same" for the argon2id parameters of the issuer, "own" for the default of fastapi-users.
"""

# No "from __future__ import annotations": FastAPI could not read annotations that name local dependencies.

import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn
from fastapi import Depends, FastAPI
from fastapi_users import BaseUserManager, FastAPIUsers, UUIDIDMixin, schemas
from fastapi_users.authentication import AuthenticationBackend, BearerTransport, JWTStrategy
from fastapi_users.authentication.strategy.db import DatabaseStrategy
from fastapi_users.password import PasswordHelper
from fastapi_users_db_sqlalchemy import SQLAlchemyBaseUserTableUUID, SQLAlchemyUserDatabase
from fastapi_users_db_sqlalchemy.access_token import (
    SQLAlchemyAccessTokenDatabase,
    SQLAlchemyBaseAccessTokenTableUUID,
)
from pwdlib import PasswordHash
from pwdlib.hashers.argon2 import Argon2Hasher
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase

PORT, HASH, SOCKETS, DATABASE = sys.argv[1:]
SECRET = "a secret of at least 32 characters"
HELPER = PasswordHelper(
    PasswordHash((Argon2Hasher(time_cost=2, memory_cost=19456, parallelism=1),)) if HASH == "same" else None
)
ENGINE = create_async_engine(
    "postgresql+asyncpg://",
    connect_args={"host": SOCKETS, "port": 5432, "user": "postgres", "database": DATABASE, "ssl": False},
    pool_size=16,
)
SESSIONS = async_sessionmaker(ENGINE, expire_on_commit=False)


class Base(DeclarativeBase):
    """The tables."""


class User(SQLAlchemyBaseUserTableUUID, Base):  # type: ignore[misc]
    """A user with the columns of fastapi-users."""


class AccessToken(SQLAlchemyBaseAccessTokenTableUUID, Base):  # type: ignore[misc]
    """A token of the database strategy."""


class Manager(UUIDIDMixin, BaseUserManager[Any, Any]):  # type: ignore[misc]
    """The manager that fastapi-users asks for, without a hook."""


async def session() -> AsyncIterator[AsyncSession]:
    async with SESSIONS() as opened:
        yield opened


async def manager(opened: AsyncSession = Depends(session)) -> AsyncIterator[Manager]:  # noqa: B008
    yield Manager(SQLAlchemyUserDatabase(opened, User), HELPER)


def jwt_strategy() -> Any:
    return JWTStrategy(SECRET, lifetime_seconds=86_400)


def database_strategy(opened: AsyncSession = Depends(session)) -> Any:  # noqa: B008
    return DatabaseStrategy(SQLAlchemyAccessTokenDatabase(opened, AccessToken), lifetime_seconds=86_400)


@asynccontextmanager
async def lifespan(_: FastAPI) -> AsyncIterator[None]:
    async with ENGINE.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    yield
    await ENGINE.dispose()


def application() -> FastAPI:
    """Return the application: registration, and login and ``me`` of each strategy."""
    app = FastAPI(lifespan=lifespan)
    for name, strategy in {"jwt": jwt_strategy, "db": database_strategy}.items():
        backend: Any = AuthenticationBackend(name, BearerTransport(f"{name}/login"), strategy)
        users: Any = FastAPIUsers(manager, [backend])
        app.include_router(users.get_auth_router(backend), prefix=f"/{name}")
        app.include_router(
            users.get_users_router(schemas.BaseUser, schemas.BaseUserUpdate), prefix=f"/{name}"
        )
        if name == "jwt":
            app.include_router(users.get_register_router(schemas.BaseUser, schemas.BaseUserCreate))
    return app


uvicorn.run(application(), port=int(PORT), loop="uvloop", http="httptools", log_level="error")
