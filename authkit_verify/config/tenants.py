"""The tenants of one provider: the template of their issuers, and which of them are accepted.

``_policy.tenancy`` applies both.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence

from authkit_verify.config.values import words_of

TenantRule = Callable[[str], bool | Awaitable[bool]]
"""Returns True for a tenant that is accepted, and False for any other."""
Tenants = Sequence[str] | TenantRule

_PLACEHOLDER = r"\{[A-Za-z_][A-Za-z0-9_]*\}"
_GUID = r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}"
_SEGMENT = r"[A-Za-z0-9_-](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?"
_LABEL = r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?"


class IssuerTemplate:
    """The issuers of many tenants, such as ``https://login.example.com/{tenant}/v2.0``.

    ``{tenant}`` takes the place of one segment of the path, or of one label of the host in lower case.

    Raises:
        ValueError: The text is not such a template.
    """

    __slots__ = ("_issuer", "text")

    def __init__(self, text: str) -> None:
        self.text = text
        head, placeholder, tail = text.partition("{tenant}") if isinstance(text, str) else ("", "", "")
        is_label = "/" not in head.partition("//")[2]
        whole = (
            head.endswith(("//", ".")) and tail.startswith(".")
            if is_label
            else head.endswith("/") and tail[:1] in {"", "/"}
        )
        if not placeholder or not whole or not re.fullmatch(r"https?://[^{}*?#@\s]+", head + "x" + tail):
            raise ValueError(
                f"issuer {text!r} is not a template for tenants: write a URL in which {{tenant}}, once, is a "
                "whole segment of the path or a whole label of the host"
            )
        tenant = _LABEL if is_label else _SEGMENT
        self._issuer = re.compile(f"{re.escape(head)}({tenant}){re.escape(tail)}")

    def tenant_of(self, issuer: str) -> str | None:
        """Return the tenant that an issuer names; None if it does not have the form of this template."""
        found = self._issuer.fullmatch(issuer)
        return None if found is None else found[1]

    def issuer_of(self, tenant: str) -> str:
        """Return the issuer of a tenant."""
        return filled(self.text, tenant)


def filled(template: str, tenant: str) -> str:
    """Return a text with the tenant in place of its placeholder, which providers name as they like."""
    return re.sub(_PLACEHOLDER, lambda _: tenant, template, count=1)


def unnamed(text: str) -> str:
    """Return a text without the names of its placeholders, to compare it with that of a provider."""
    return re.sub(_PLACEHOLDER, "{}", text)


def may_name(published: str, issuer: str) -> bool:
    """True if a key that is published for an issuer, or for a template, may sign for this configured one."""
    if published == issuer or has_placeholder(published):
        return True
    # Versions 1 and 2 of Entra name one tenant by two issuers, and sign with the same keys.
    return not set(re.findall(_GUID, published)).isdisjoint(re.findall(_GUID, issuer))


def has_placeholder(text: str) -> bool:
    """True for a text with a brace, which no URL has."""
    return "{" in text or "}" in text


def checked_tenants(template: IssuerTemplate, tenants: Tenants) -> tuple[str, ...] | TenantRule:
    """Return a list of tenants as a tuple, and a function as it is. Raises ValueError for any other value."""
    if callable(tenants):
        return tenants
    listed = words_of("tenants", tenants)
    if not listed:
        raise ValueError(f"{template.text}: tenants is empty: list at least one tenant, or pass a function")
    for tenant in listed:
        if template.tenant_of(template.issuer_of(tenant)) != tenant:
            raise ValueError(
                f"{template.text}: tenants lists {tenant!r}, which cannot be a tenant there: list "
                "the part of its issuer that the placeholder replaces"
            )
    return listed
