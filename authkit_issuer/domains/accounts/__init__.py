"""Users, user names, roles and external identities."""
