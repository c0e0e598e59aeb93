"""Compare what is configured about an issuer with what the issuer really publishes.

Documents are fetched and judged by the functions the verifier uses, so the verdict is its own. An ``error``
means that tokens are refused, a ``warning`` that they may be or that something is unsafe.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit

from authkit_verify._doctor.keys import judge_keys
from authkit_verify._doctor.metadata import judge_clock, judge_form, judge_metadata, judge_service, shown
from authkit_verify._doctor.probe import Probe, probe
from authkit_verify._doctor.report import Finding, Report
from authkit_verify._explain.explanation import address
from authkit_verify._jwks.discovery import discover, metadata_urls
from authkit_verify._jwks.fetch import Clients, FetchError, HttpClient
from authkit_verify.config import AcceptConfig, IssuerAccept

__all__ = ["Finding", "Report", "diagnose"]


async def diagnose(
    accept: IssuerAccept,
    http_client: HttpClient | None = None,
    clock: Callable[[], float] | None = None,
    *,
    algorithms: Sequence[str] = ("RS256",),
    skew: float = 60.0,
) -> Report:
    """Return what is right and wrong between this record and its issuer, after at most five requests.

    ``algorithms`` and ``skew`` are those of ``AcceptConfig``; ``clock`` returns Unix seconds and, when given,
    measures response times as well. Raises ValueError for a configuration that ``AcceptConfig`` refuses.
    """
    config = AcceptConfig(issuers=[accept], algorithms=algorithms, skew=skew)
    clients = Clients(http_client)
    try:
        visit = _Visit(config, await clients.get(), clock or time.time, clock or time.monotonic)
        if accept.pinned_only:
            visit.pins()
        else:
            await visit.all()
    finally:
        await clients.aclose()
    return Report(accept.issuer, tuple(visit.findings))


class _Visit:
    """One round of questions to one issuer."""

    def __init__(
        self, config: AcceptConfig, client: HttpClient, wall: Callable[[], float], timer: Callable[[], float]
    ) -> None:
        (self.accept,) = config.issuers
        self.skew = config.skew
        names = config.algorithms if self.accept.algorithms is None else self.accept.algorithms
        self.algorithms = frozenset(names)
        self.client, self.wall, self.timer = client, wall, timer
        self.findings: list[Finding] = [judge_form(self.accept)]

    def pins(self) -> None:
        """Look at keys that are never fetched."""
        until = self.accept.pinned_until
        if until is not None and self.wall() >= until:
            self.findings.append(
                Finding(
                    "error", "pins_expired", "The pinned keys have ended.", "Move pinned_until, or drop it."
                )
            )
        else:
            count = len(self.accept.pinned_pems)
            self.findings.append(
                Finding("ok", "pinned_only", f"{count} pinned keys answer; nothing is fetched.")
            )

    async def all(self) -> None:
        """Look at the metadata, then at the key set where the verifier would fetch it."""
        named: str | None = None
        probes: list[Probe] = []
        if urlsplit(self.accept.issuer).scheme in {"http", "https"}:
            for place in metadata_urls(self.accept.issuer):
                probes.append(await probe(self.client, place, wall=self.wall, timer=self.timer))
                finding, url = judge_metadata(probes[-1], self.accept)
                self.findings.append(finding)
                named = named or url
        url = await self._location(named)
        if url is not None:
            probes.append(await probe(self.client, url, wall=self.wall, timer=self.timer))
            self._judge_key_set(probes[-1], named)
        self.findings += judge_clock(probes, self.skew)

    async def _location(self, named: str | None) -> str | None:
        """Return where the verifier would fetch the key set, or None when it would not find it."""
        accept = self.accept
        if not accept.discovery:
            configured = shown(address(accept.keys_url))
            if named is not None and named != accept.keys_url:
                self.findings.append(
                    Finding(
                        "warning", "keys_elsewhere", f"The metadata names its keys at {shown(named)}.",
                        f"Configured is {configured}; set discovery=True, or jwks_url to that.",
                    )
                )  # fmt: skip
            return accept.keys_url
        try:
            return await discover(
                self.client, accept.issuer,
                http_loopback=accept.allow_http_loopback, same_origin=accept.same_origin,
            )  # fmt: skip
        except Exception as error:  # noqa: BLE001 - the client's own failures were named above, one by one
            reason = str(error) if isinstance(error, FetchError) else "it cannot be reached"
            self.findings.append(
                Finding("error", "discovery_failed", f"No key set can be found: {reason}.", "Set jwks_url.")
            )
            return None

    def _judge_key_set(self, found: Probe, named: str | None) -> None:
        if found.fault is not None or found.answer is None or found.answer.body is None:
            reason = found.fault.reason if found.fault is not None else "there is no body"
            code = found.fault.code if found.fault is not None else "unreachable"
            advice = found.fault.advice if found.fault is not None else None
            if named is not None and named != found.url:
                advice = "Its metadata names another address: set discovery=True."
            sentence = f"The key set at {shown(address(found.url))} cannot be had: {reason}."
            self.findings.append(Finding("error", code, sentence, advice))
            return
        self.findings += judge_keys(found.answer.body, self.algorithms)
        self.findings += judge_service(found, self.accept)
