"""Check the introspection endpoint of an issuer: ask it about a token that it cannot know."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

from authkit_verify._jwks.fetch_error import FetchError, failure_of
from authkit_verify._policy.introspection.introspector import locate_endpoint
from authkit_verify._policy.introspection.request import ask, unknown_token
from authkit_verify._verify.explain.explanation import address
from authkit_verify.config import IssuerAccept
from authkit_verify.config.allowed_urls import is_loopback
from authkit_verify.config.http_client import HttpClient
from authkit_verify.config.introspection import Introspection
from authkit_verify.doctor.metadata import shown
from authkit_verify.doctor.report import Finding


async def check_endpoint(
    client: HttpClient, accept: IssuerAccept, settings: Introspection
) -> AsyncIterator[Finding]:
    """Yield the findings about the endpoint and the credentials; makes three requests at most."""
    try:
        url = settings.url or await locate_endpoint(client, accept)
    except Exception as error:  # noqa: BLE001 - a host's client may raise anything
        failure = error if isinstance(error, FetchError) else failure_of(error, within=settings.timeout)
        yield Finding(
            "error", "introspection_not_found", f"No introspection endpoint is found: {failure}.",
            "Set Introspection.url.",
        )  # fmt: skip
        return
    parts = urlsplit(url)
    if parts.scheme == "http" and not is_loopback(parts.hostname or ""):
        yield Finding(
            "warning", "http_introspection",
            f"Tokens and credentials go over plain http to {shown(parts.netloc)}.",
            "An attacker on that network reads them: allow it only where the network is encrypted.",
        )  # fmt: skip
    where = f"The introspection endpoint at {shown(address(url))}"
    try:
        async with asyncio.timeout(settings.timeout):
            answer = await ask(client, url, unknown_token(settings), settings)
    except Exception as error:  # noqa: BLE001 - as above
        failure = error if isinstance(error, FetchError) else failure_of(error, within=settings.timeout)
        code = "introspection_" + failure.code
        yield Finding("error", code, f"{where} gives no answer: {failure.reason}.", failure.advice)
        return
    yield _judged(answer, where)


def _judged(answer: dict[str, Any], where: str) -> Finding:
    active = answer.get("active")
    if active is False:
        return Finding("ok", "introspection", f"{where} takes the credentials and answers.")
    if active is True:
        return Finding(
            "error", "introspection_accepts_all", f"{where} says that an unknown token is active.",
            "It must answer active: false (RFC 7662, 2.2). Do not use it.",
        )  # fmt: skip
    return Finding(
        "error", "introspection_not_rfc7662", f"{where} answers without a boolean active.",
        "Check the URL: RFC 7662 asks for it, and tokens without it are refused.",
    )  # fmt: skip
