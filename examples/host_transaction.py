"""Several operations of the service in one transaction: all of them happen, or none."""

from __future__ import annotations

from authkit_issuer import Service


async def import_user(service: Service, email: str, username: str) -> str:
    """Create an account and open its first session; if one fails, neither happens."""
    async with service.transaction() as tx:
        user = await tx.users.create(email, username)
        await tx.sessions.issue(user.id, method="import")
    return user.id
