"""Check the metadata of an issuer with tenants: the document that all share, and that of one tenant."""

from __future__ import annotations

from authkit_verify._jwks.discovery import metadata_urls, url_in
from authkit_verify._jwks.fetch_error import FetchError
from authkit_verify.config import IssuerAccept
from authkit_verify.config.tenants import IssuerTemplate
from authkit_verify.doctor.metadata import shown
from authkit_verify.doctor.probing import Probe
from authkit_verify.doctor.report import Finding


def metadata_places(accept: IssuerAccept) -> tuple[str, ...]:
    """Return the possible URLs of the metadata; for an issuer with tenants, that of the shared document."""
    if accept.tenants is None:
        return metadata_urls(accept.issuer)
    return () if accept.metadata_url is None else (accept.metadata_url,)


def example_tenant(accept: IssuerAccept) -> str | None:
    """Return the first listed tenant; None if a function decides on tenants, or there are none."""
    return accept.tenants[0] if accept.tenants and not callable(accept.tenants) else None


def tenant_metadata(accept: IssuerAccept, tenant: str) -> str:
    """Return the URL of the metadata of one tenant."""
    return metadata_urls(IssuerTemplate(accept.issuer).issuer_of(tenant))[0]


def check_tenant(found: Probe, accept: IssuerAccept, tenant: str) -> Finding:
    """Return the finding about the metadata of one tenant: it must name the issuer of its tokens."""
    issuer = IssuerTemplate(accept.issuer).issuer_of(tenant)
    if found.answer is None:
        reason = "there is none" if found.fault is None else found.fault.reason
        return Finding(
            "warning", "tenant_without_metadata",
            f"The metadata of the tenant {shown(tenant)} at {shown(found.url)} cannot be read: {reason}.",
            "Check the spelling of the tenant, and the issuer.",
        )  # fmt: skip
    try:
        url_in(found.answer, issuer, "jwks_uri")
    except FetchError as error:
        return Finding(
            "error", "tenant_mismatch", f"The metadata of the tenant {shown(tenant)} does not fit: {error}.",
            "Write the issuer as tokens of this tenant spell it, with {tenant} in place of the tenant.",
        )  # fmt: skip
    return Finding("ok", "tenant", f"The metadata of the tenant {shown(tenant)} names its issuer.")
