"""The result of a diagnosis: findings with a stable code, a sentence, and perhaps advice."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from authkit_verify._verify.explain.explanation import table

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """The result of one check of an issuer."""

    level: Level
    """``ok``; ``warning``; or ``error``, which means that tokens are refused."""
    code: str
    """The code of the result; codes do not change."""
    sentence: str
    """The result, for people."""
    advice: str | None = None
    """The remedy, for people; None if there is none."""


@dataclass(frozen=True, slots=True)
class Report:
    """All findings about one issuer."""

    issuer: str
    """The issuer, as it is configured."""
    findings: tuple[Finding, ...]
    """In the order of the checks."""

    @property
    def ok(self) -> bool:
        """True without any error; warnings do not count."""
        return all(finding.level != "error" for finding in self.findings)

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON types."""
        return {
            "issuer": self.issuer,
            "ok": self.ok,
            "findings": [asdict(finding) for finding in self.findings],
        }

    def __str__(self) -> str:
        rows = [
            (finding.level, finding.code, " ".join(filter(None, (finding.sentence, finding.advice))))
            for finding in self.findings
        ]
        return "\n".join(table([("level", "code", "finding"), *rows]))
