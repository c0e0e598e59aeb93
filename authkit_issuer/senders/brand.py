"""How mails look: the name, logo and colour of the service that sends them."""

from __future__ import annotations

from dataclasses import dataclass

_DARK, _LIGHT = "#111111", "#ffffff"


@dataclass(frozen=True, slots=True, kw_only=True)
class Brand:
    """The sender of mails, as their readers know it."""

    name: str = ""
    logo_url: str = ""
    """An https URL of an image, shown 32 pixels high in place of the name."""
    color: str = "#3459d8"
    """The colour of buttons, as ``#rrggbb``."""
    support: str = ""
    """An email address or an https URL for questions."""
    footer: str = ""
    """The last line, such as a postal address."""

    @property
    def support_url(self) -> str:
        """The link to ``support``."""
        return f"mailto:{self.support}" if "@" in self.support and "://" not in self.support else self.support

    @property
    def color_on_top(self) -> str:
        """Black or white: what contrasts more with ``color`` (WCAG 2.2, contrast ratio)."""
        light = _luminance(self.color)
        return _LIGHT if 1.05 / (light + 0.05) >= (light + 0.05) / (_luminance(_DARK) + 0.05) else _DARK


def _luminance(color: str) -> float:
    """Return the relative luminance of ``#rrggbb`` (WCAG 2.2)."""
    channels = (int(color[start : start + 2], 16) / 255 for start in (1, 3, 5))
    red, green, blue = (
        channel / 12.92 if channel <= 0.04045 else ((channel + 0.055) / 1.055) ** 2.4 for channel in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
