"""What a diagnosis found: each finding with a stable code, a sentence, and advice where there is any."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from authkit_verify._explain.explanation import table

Level = Literal["ok", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at. ``code`` does not change; ``error`` means that tokens are refused."""

    level: Level
    code: str
    sentence: str
    advice: str | None = None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything found about one issuer, in the order it was looked at."""

    issuer: str
    findings: tuple[Finding, ...]

    @property
    def ok(self) -> bool:
        """Tell whether no error was found; warnings are no errors."""
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
