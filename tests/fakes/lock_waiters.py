"""What waits in the database of a test; its server has databases of other tests, too."""

WAITING = """
    select exists (
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'
    )
"""
"""True while a session of this database waits for a lock."""
