"""The headers of genuine tokens, read once: the tokens of one key share theirs."""

from __future__ import annotations

from authkit_verify._jose.compact import Header

_MAX_HEADERS = 256
_MAX_SEGMENT = 512


class HeaderCache(dict[bytes, Header]):
    """Headers by their segment, at most ``_MAX_HEADERS`` of at most ``_MAX_SEGMENT`` bytes."""

    def remember(self, segment: bytes, header: Header) -> None:
        """Keep a header that came with a good signature; unauthenticated requests cannot fill this cache."""
        if len(segment) <= _MAX_SEGMENT:
            if len(self) >= _MAX_HEADERS:
                self.clear()
            self[segment] = header
