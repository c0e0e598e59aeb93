"""Key sets of issuers: fetched, cached and refreshed.

``key_set_cache`` knows how long keys are fresh and serve on in an outage, and how long an unknown ``kid`` is
remembered. ``refresher`` decides when to fetch, ``unknown_kid`` fetches for a key id that is not in the set,
and ``fetch_limits`` says how often.
"""
