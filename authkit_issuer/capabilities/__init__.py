"""One file per capability.

Ranks, lowest first; a capability imports only from below its own rank.

    0   events, entitlements, messages, one_time, namespace
    1   roles, providers, org_members
    2   orgs, usernames
    3   org_invites
    4   users
    5   tokens
    6   sessions
    7   two_factor, verification, lifecycle
    8   passwords
    9   registration, contact_changes
    10  logins
    11  oidc_login, solana
    12  admin

A capability may read any table in its own SQL and writes only its own. Ending another capability's one-time
records is never a call: a record carries the user's ``auth_epoch`` and address and dies when they move.
"""
