"""Pages load the client with a hash that the browser checks, and under a strict policy."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest
from starlette.responses import HTMLResponse

from fakes.until import until

pytestmark = pytest.mark.timeout(180)

PAGE = """<!doctype html><title>waiting</title><link rel="icon" href="data:,">
<script type="importmap" nonce="n">IMPORTS</script>
<script type="module" nonce="n">
import { createClient } from "authkit";
window.auth = createClient({ issuer: "API" });
document.title = "loaded";
</script>"""
POLICY = (
    "default-src 'none'; img-src data:; script-src 'nonce-n' API; connect-src API; base-uri 'none'; "
    "form-action 'none'; require-trusted-types-for 'script'"
)


async def load(stage: Any, hash_of: str) -> Any:
    """Open a page that states this hash of the client, under the policy."""
    async with httpx.AsyncClient(base_url=stage.api) as http:
        named = (await http.get("/auth/capabilities")).json()["browser_client"]
    url = stage.api + named["path"]
    imports = {"imports": {"authkit": url}, "integrity": {url: hash_of or named["integrity"]}}
    text = PAGE.replace("IMPORTS", json.dumps(imports)).replace("API", stage.api)
    headers = {"content-security-policy": POLICY.replace("API", stage.api)}
    page = await stage.context.new_page()
    page.on("console", lambda said: stage.complaints.append(said.text) if said.type == "error" else None)
    stage.pages["/strict"] = HTMLResponse(text, headers=headers)
    await page.goto(f"{stage.app}/strict")
    return page


async def test_a_page_with_the_right_hash_and_a_strict_policy_signs_in(make_stage):
    stage = await make_stage()
    page = await load(stage, "")
    assert (await page.title(), stage.complaints) == ("loaded", [])
    assert (await stage.join(page))["email"] == "ada@example.test"
    assert stage.complaints == []


async def test_a_client_that_was_changed_is_not_run(make_stage):
    stage = await make_stage()
    page = await load(stage, "sha384-" + "A" * 64)
    await until(lambda: bool(stage.complaints))
    assert await page.title() == "waiting"
    assert "integrity" in stage.complaints[0]
