"""Compare the configuration of an issuer with the documents that the issuer publishes.

The verifier's own functions fetch and check the documents, so the result is the verifier's. An ``error``
means that tokens are refused; a ``warning`` means that they may be, or that something is unsafe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from authkit_verify._jwks.client import Clients
from authkit_verify._jwks.discovery import locate
from authkit_verify._jwks.fetch_error import FetchError
from authkit_verify._verify.explain.explanation import address
from authkit_verify.config import SUPPORTED_ALGORITHMS, AcceptConfig, IssuerAccept
from authkit_verify.config.accept_config import DEFAULT_SKEW
from authkit_verify.config.http_client import HttpClient
from authkit_verify.doctor.introspection import check_endpoint
from authkit_verify.doctor.keys import check_keys
from authkit_verify.doctor.metadata import (
    check_clock,
    check_form,
    check_metadata,
    check_service,
    check_transport,
    shown,
)
from authkit_verify.doctor.probing import Probe, probe
from authkit_verify.doctor.report import Finding, Report
from authkit_verify.doctor.tenants import check_tenant, example_tenant, metadata_places, tenant_metadata

__all__ = ["Finding", "Report", "diagnose"]


async def diagnose(
    accept: IssuerAccept,
    http_client: HttpClient | None = None,
    clock: Callable[[], float] | None = None,
    *,
    algorithms: Sequence[str] = SUPPORTED_ALGORITHMS,
    skew: float = DEFAULT_SKEW,
) -> Report:
    """Check an issuer and its configuration: fetch at most five documents.

    With ``introspection`` its endpoint is also asked about a token that it cannot know.

    Args:
        accept: The configuration of the issuer.
        http_client: The client for the requests, as for ``Verifier``. Default None: one is made and closed.
        clock: Returns Unix seconds; it then also measures response times. Default None: the system's clocks.
        algorithms: ``AcceptConfig.algorithms``. Default: all, as there.
        skew: ``AcceptConfig.skew`` (seconds). Default 60.

    Raises:
        ValueError: ``AcceptConfig`` refuses the configuration.
    """
    config = AcceptConfig(issuers=[accept], algorithms=algorithms, skew=skew)
    async with Clients(http_client).of(accept)() as client:
        diagnosis = _Diagnosis(config, client, clock or time.time, clock or time.monotonic)
        if accept.pinned_only:
            diagnosis.check_pins()
        else:
            await diagnosis.check_documents()
        if accept.introspection is not None:
            endpoint = check_endpoint(client, accept, accept.introspection)
            diagnosis.findings += [finding async for finding in endpoint]
    return Report(accept.issuer, tuple(diagnosis.findings))


class _Diagnosis:
    """The findings about one issuer so far."""

    def __init__(
        self, config: AcceptConfig, client: HttpClient, wall: Callable[[], float], timer: Callable[[], float]
    ) -> None:
        (self.accept,) = config.issuers
        self.skew = config.skew
        names = config.algorithms if self.accept.algorithms is None else self.accept.algorithms
        self.algorithms = frozenset(names)
        self.client, self.wall, self.timer = client, wall, timer
        self.findings: list[Finding] = [check_form(self.accept)]

    def check_pins(self) -> None:
        """Check pinned keys without any request."""
        until = self.accept.pinned_until
        if until is not None and self.wall() >= until:
            self.findings.append(
                Finding(
                    "error",
                    "pins_expired",
                    f"The pinned keys expired: pinned_until is {until!r}.",
                    "Move it, or remove it.",
                )
            )
        else:
            count = len(self.accept.pinned_pems)
            self.findings.append(
                Finding("ok", "pinned_only", f"{count} pinned keys are used; no key is fetched.")
            )

    async def check_documents(self) -> None:
        """Check the metadata, then the key set at the URL from which the verifier would fetch it."""
        named: str | None = None
        probes: list[Probe] = []
        if urlsplit(self.accept.issuer).scheme in {"http", "https"}:
            for place in metadata_places(self.accept):
                probes.append(await probe(self.client, place, wall=self.wall, timer=self.timer))
                finding, url = check_metadata(probes[-1], self.accept)
                self.findings.append(finding)
                named = named or url
        tenant = example_tenant(self.accept)
        if tenant is not None:
            place = tenant_metadata(self.accept, tenant)
            probes.append(await probe(self.client, place, wall=self.wall, timer=self.timer))
            self.findings.append(check_tenant(probes[-1], self.accept, tenant))
        url = await self._location(named)
        if url is not None:
            self.findings += check_transport(url)
            probes.append(await probe(self.client, url, wall=self.wall, timer=self.timer))
            self._check_key_set(probes[-1], named)
        self.findings += check_clock(probes, self.skew)

    async def _location(self, named: str | None) -> str | None:
        """Return the URL from which the verifier would fetch the key set, or None if it finds none."""
        accept = self.accept
        if accept.keys_url is not None:
            configured = shown(address(accept.keys_url))
            if named is not None and named != accept.keys_url:
                self.findings.append(
                    Finding(
                        "warning", "keys_elsewhere", f"The metadata names its keys at {shown(named)}.",
                        f"The verifier fetches {configured}; leave out jwks_url and discovery=False.",
                    )
                )  # fmt: skip
            return accept.keys_url
        try:
            return (await locate(self.client, accept)).url
        except Exception as error:  # noqa: BLE001 - the client's own failures were named above, one by one
            reason = str(error) if isinstance(error, FetchError) else "it is unreachable"
            self.findings.append(
                Finding(
                    "error", "discovery_failed", f"Discovery finds no key set: {reason}.", "Set jwks_url."
                )
            )
            return None

    def _check_key_set(self, found: Probe, named: str | None) -> None:
        if found.fault is not None or found.answer is None or found.answer.body is None:
            reason = found.fault.reason if found.fault is not None else "the response has no body"
            code = found.fault.code if found.fault is not None else "unreachable"
            advice = found.fault.advice if found.fault is not None else None
            if named is not None and named != found.url:
                advice = "The metadata names another URL: leave out jwks_url and discovery=False."
            sentence = f"The key set at {shown(address(found.url))} cannot be fetched: {reason}."
            self.findings.append(Finding("error", code, sentence, advice))
            return
        only = self.accept.issuer if self.accept.tenants is None else None
        self.findings += check_keys(found.answer.body, self.algorithms, only)
        self.findings += check_service(found, self.accept)
