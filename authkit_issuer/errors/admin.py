"""The directory of users."""

from __future__ import annotations

from authkit_issuer.errors.categories import Invalid


class SearchTooSlow(Invalid):
    """A search inside of names took too long; one by their beginning would not."""

    code = "search_too_slow"
    default = "The search takes too long; search for the beginning instead."
