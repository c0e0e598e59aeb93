"""Several operations of the service as one transaction: all of them happen, or none."""

from __future__ import annotations

from authkit_issuer import Service


async def import_person(service: Service, email: str, username: str) -> str:
    """Create an account and open its first session; a failure of either leaves nothing behind."""
    async with service.transaction() as tx:
        user = await tx.users.create(email, username)
        await tx.sessions.issue(user.id, method="import")
    return user.id
