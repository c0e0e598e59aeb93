"""Mails and the development inbox as Chromium shows them: on narrow screens, in the dark, without scripts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from authkit_issuer.http import create_app
from authkit_issuer.senders.brand import Brand
from authkit_issuer.senders.content import Content
from authkit_issuer.senders.mails import KINDS, LANGUAGES, Mails
from authkit_issuer.senders.samples import sample
from fakes.browser import chromium, listening
from fakes.ports import free_port

MAILS = Mails(Brand(name="Example", support="help@example.com", footer="Example Ltd, 1 High Street, London"))
LONG = "ABCD-EFGH-JKLMN"

FITS = """() => {
  const lines = (cell) => {
    const text = document.createRange();
    text.selectNodeContents(cell);
    return text.getClientRects().length;
  };
  const oneLine = [...document.querySelectorAll('.code, td.soft[valign=top]')];
  return {
    tooWide: document.documentElement.scrollWidth - innerWidth,
    cut: oneLine.filter((cell) => cell.scrollWidth > cell.clientWidth).map((cell) => cell.textContent),
    broken: oneLine.filter((cell) => lines(cell) !== 1).map((cell) => cell.textContent),
  };
}"""

CONTRASTS = """() => {
  const channel = (value) => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = (color) => {
    const [r, g, b] = color.match(/[\\d.]+/g).map((value) => channel(value / 255));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const color = getComputedStyle(element).backgroundColor;
      if (!color.endsWith(', 0)')) return color;
    }
    return 'rgb(255, 255, 255)';
  };
  const hasText = (element) =>
    [...element.childNodes].some((node) => node.nodeType === 3 && /\\S/.test(node.data));
  const texts = [...document.querySelectorAll('td, p, a')].filter(hasText);
  return texts.map((element) => {
    const [a, b] = [getComputedStyle(element).color, behind(element)].map(luminance).sort((x, y) => y - x);
    return (a + 0.05) / (b + 0.05);
  });
}"""


async def test_every_mail_fits_a_narrow_screen_and_its_code_stays_on_one_line() -> None:
    async with chromium() as browser:
        page = await browser.new_page(viewport={"width": 320, "height": 640})
        for content, language in widest():
            await page.set_content(MAILS.render(content, language).html)
            found = await page.evaluate(FITS)
            assert found == {"tooWide": 0, "cut": [], "broken": []}, (content.kind, language)


def widest() -> Iterator[tuple[Content, str]]:
    """Yield what has something that cannot be broken, and the longest mails of each language."""
    for language in LANGUAGES:
        contents = sorted(map(sample, KINDS), key=lambda content: len(MAILS.render(content, language).html))
        for content in contents:
            if content.code or content.link or content in contents[-3:]:
                yield content, language
                yield replace(content, code=content.code and LONG), language


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_text_contrasts_with_what_is_behind_it(scheme: Any) -> None:
    async with chromium() as browser:
        page = await browser.new_page(color_scheme=scheme)
        for kind in ("email_verification", "password_changed"):
            await page.set_content(MAILS.render(sample(kind)).html)
            contrasts = await page.evaluate(CONTRASTS)
            assert len(contrasts) > 8
            assert min(contrasts) >= 4.5  # WCAG 2.2, 1.4.3


async def test_the_inbox_shows_mails_in_frames_that_run_nothing(make_service) -> None:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    service = await make_service(dev=True, email_sender=None, sms_sender=None, issuer=address)
    await service.inbox.send_login_code("ada@example.test", "<script>document.title='x'</script>", "482915")
    async with chromium() as browser, listening(create_app(service), port):
        page = await browser.new_page()
        complaints: list[str] = []
        page.on("console", lambda message: complaints.append(message.text))
        await page.goto(f"{address}/dev/inbox")
        frame = page.frame_locator("iframe")
        await frame.get_by_text("482915").wait_for()
        assert await frame.get_by_text("<script>").is_visible()
        code = frame.locator(".code")
        assert await code.evaluate("cell => getComputedStyle(cell).fontSize") == "30px"
        assert complaints == []
        answer = await page.request.get(page.frames[1].url)
        assert "; sandbox;" in answer.headers["content-security-policy"]
