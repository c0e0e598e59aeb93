"""The grace of refresh tokens: which replaced one is still accepted, and how often (RFC 9700 4.14.2).

``Config.refresh_rotation_grace`` is its length in seconds.
"""

from __future__ import annotations

MAX_FORGIVEN_IN_ROW = 3
"""Generations in a row that are forgiven. A lost answer does not repeat at each rotation; a thief does."""


def within_grace(presented: str, grace: str) -> str:
    """Return SQL that is true if the session ``s`` may forgive a replaced generation.

    Its successor is unused, or was used within the seconds of grace. The two latest rotations are known,
    which is as far back as three generations in a row reach. With a grace of 0 nothing is forgiven.
    """
    since = f"now() - {grace} * interval '1 second'"
    return f"""({grace}::float8 > 0 and case s.generation - {presented}::bigint
        when 1 then true when 2 then s.rotated_at > {since} when 3 then s.rotated_before > {since} else false
    end)"""
