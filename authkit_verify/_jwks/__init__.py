"""Key sets of issuers: fetched, cached and refreshed."""
