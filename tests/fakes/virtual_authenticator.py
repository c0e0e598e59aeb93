"""The authenticator that the developer tools of Chromium provide."""

from __future__ import annotations

from typing import Any


class Virtual:
    """An authenticator of a page, and what only its maker could do."""

    def __init__(self, tools: Any, number: str) -> None:
        self.tools = tools
        self.number = number

    @classmethod
    async def of(cls, page: Any, **how: Any) -> Virtual:
        tools = await page.context.new_cdp_session(page)
        await tools.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2", "ctap2Version": "ctap2_1", "transport": "internal", "hasResidentKey": True,
            "hasUserVerification": True, "isUserVerified": True, "automaticPresenceSimulation": True, **how,
        }  # fmt: skip
        made = await tools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        return cls(tools, made["authenticatorId"])

    async def call(self, method: str, **more: Any) -> Any:
        return await self.tools.send(f"WebAuthn.{method}", {"authenticatorId": self.number, **more})

    async def credentials(self) -> list[dict[str, Any]]:
        return (await self.call("getCredentials"))["credentials"]
