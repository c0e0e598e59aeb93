"""User names: whose a name is, how often it changes, and making one up that is valid and free.

``identifiers.user_name`` has their form and the reserved ones, ``base.former_names`` the rule of former ones.
"""

from __future__ import annotations

from dataclasses import dataclass

from authkit_issuer import errors, identifiers
from authkit_issuer.domains.base.namespace import Namespace
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query


@dataclass(frozen=True, slots=True, kw_only=True)
class NameHolder:
    """The user who holds a name, with the current one."""

    user_id: str
    username: str


# A name is held once in a database, whether it is current or former: there is nothing to prefer.
NAME_HOLDER = Query(
    NameHolder,
    """
    select u.id::text as user_id, u.username
    from profiles.names n join profiles.users u on u.id = n.user_id
    where n.slug = $1 and u.deleted_at is null
    """,
)

FORMER_NAMES = Query(
    str, "select slug from profiles.names where user_id = $1::uuid and not is_current order by slug"
)

# Only a user who has given up a name before is cooling down: the first name is not a change.
NAME_COOLING = Query(
    float,
    """
    select extract(epoch from
               max(created_at) filter (where is_current) + $2::float8 * interval '1 second' - now())::float8
    from profiles.names where user_id = $1::uuid having bool_or(not is_current)
    """,
)


NUMBERED = 999
RANDOM = 100


@dataclass(frozen=True, slots=True)
class Usernames:
    """Resolves names and proposes free ones."""

    rt: Runtime

    async def resolve(self, slug: str) -> tuple[str, str]:
        """Return id and current name of the user who holds this name, now or formerly, in any letter case.

        Raises ``InvalidSlug`` for what cannot be a name, ``UserNotFound`` when no user who is not
        deleted holds it.
        """
        found = await self.rt.maybe(NAME_HOLDER, identifiers.slug(slug))
        if found is None:
            raise errors.UserNotFound
        return found.user_id, found.username

    async def list_aliases(self, user_id: str) -> list[str]:
        """Return the user's former names, sorted; they still lead to the user."""
        known = identifiers.uuid_or_none(user_id)
        return [] if known is None else await self.rt.all(FORMER_NAMES, known)

    def derive(self, email: str) -> str:
        """Return a valid user name made of the local part of an address; it may well be taken."""
        return self._derived(email.strip().partition("@")[0])

    async def derive_for_oauth(self, provider: str, preferred: str, email: str, display_name: str) -> str:
        """Return a valid and free name for somebody who comes from a provider.

        Made of the first that has a letter or digit: the preferred name, the local part of the address, the
        display name; else of the provider's name.
        """
        local = email.strip().partition("@")[0]
        for text in (preferred, local, display_name):
            if any(char.isascii() and char.isalnum() for char in text):
                return await self.generate_available(text)
        return await self.generate_available(f"{provider}_user")

    async def generate_available(self, base: str) -> str:
        """Return a valid name like ``base`` that is free now; creating the account decides.

        The name itself, then with 1 to 999, then with four random digits, then with ten. Asks once; a
        database that does not answer is an error and never "free".
        """
        candidates = self._candidates(self._derived(base))
        names = Namespace(self.rt)
        wanted = {name: names.names_of(name) for name in candidates}
        taken = await names.taken_of(slug for slugs in wanted.values() for slug in slugs)
        for name, slugs in wanted.items():
            if not taken.intersection(slugs):
                return name
        raise errors.UsernameInUse(param="username")

    def _candidates(self, base: str) -> list[str]:
        """Return the names to try, in order, without those that are reserved."""
        suffixes = [
            "",
            *(str(number) for number in range(1, NUMBERED + 1)),
            *(self._digits(4) for _ in range(RANDOM)),
            "_user",
            self._digits(10),
        ]
        names = (identifiers.suffixed_username(base, suffix) for suffix in suffixes)
        reserved = self.rt.config.reserved_usernames
        return [name for name in dict.fromkeys(names) if not identifiers.is_reserved(name, reserved)]

    def _digits(self, count: int) -> str:
        number = int.from_bytes(self.rt.random_bytes(8), "big") % 10**count
        return f"{number:0{count}d}"

    def _derived(self, text: str) -> str:
        return identifiers.derived_username(text, reserved=self.rt.config.reserved_usernames)


async def check_cooldown(rt: Runtime, user_id: str) -> None:
    """Raise ``TooManyRequests`` within ``rename_cooldown`` of the user's last change of name."""
    cooldown = rt.config.rename_cooldown
    left = None if cooldown is None else await rt.maybe(NAME_COOLING, user_id, cooldown)
    if left is not None and left > 0:
        raise errors.TooManyRequests(retry_after=left)
