"""Organizations, their members and invites."""
