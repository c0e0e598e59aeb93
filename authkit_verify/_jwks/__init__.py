"""Key sets of issuers: fetched, cached and refreshed.

``key_set_cache`` knows how long keys are fresh and serve on in an outage, and how long an unknown ``kid`` is
remembered. ``refresher`` decides when to fetch, ``backoff`` how long to wait after a failure.
"""
