"""How many former names a user or an organization keeps, and when they are free again."""

from __future__ import annotations

from authkit_issuer import errors
from authkit_issuer.runtime import Runtime
from authkit_issuer.store.query import Query

MAX_FORMER_NAMES = 5
"""How many former names a user or an organization keeps."""
FORMER_NAME_REST = 30 * 86_400.0
"""Seconds before a former name may go to another holder: links and tokens still carry it for a while."""

# Names that were given up together are one: a user name and its owner slug. Names that an earlier version
# retired lack the time of it. A name the holder takes back is not a former one.
_FORMER = """
    select slug, coalesce(retired_at, created_at) as since,
           dense_rank() over (order by coalesce(retired_at, created_at) desc) as place
    from profiles.names
    where (user_id = $1::uuid or org_id = $1::uuid) and not is_current and slug <> all($2::text[])
"""
FREE_RESTED = Query(
    str,
    f"""
    with former as ({_FORMER})
    delete from profiles.names n using former
    where n.slug = former.slug and former.place >= $3
      and former.since < now() - $4::float8 * interval '1 second'
    returning n.slug
    """,
)
RESTING = Query(
    float,
    f"""
    with former as ({_FORMER})
    select extract(epoch from max(since) + $4::float8 * interval '1 second' - now())::float8
    from former where place >= $3 having count(*) > 0
    """,
)


async def free_rested(rt: Runtime, holder: str, *taking: str, ignore_rest: bool = False) -> list[str]:
    """Make room for one more former name of a user or an organization, before it takes a name.

    Args:
        rt: The transaction.
        holder: The id of the user or the organization, whose row the transaction holds.
        taking: The names it is about to take, which may be former ones of its own.
        ignore_rest: Let a holder whose former names all rest keep more than five.

    Returns:
        The names that are free now.

    Raises:
        TooManyRequests: The holder has five former names, and the oldest still rests.
    """
    bounds = (holder, list(taking), MAX_FORMER_NAMES, FORMER_NAME_REST)
    freed = await rt.all(FREE_RESTED, *bounds)
    wait = None if ignore_rest else await rt.maybe(RESTING, *bounds)
    if wait is not None:
        raise errors.TooManyRequests(
            "The five former names are kept for 30 days: wait, or take one of them back.",
            retry_after=wait,
        )
    return sorted(freed)
