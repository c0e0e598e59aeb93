"""Bans, deletion and purge."""
