"""The signature, by the vector of the standard and by another implementation of it."""

from __future__ import annotations

import httpx

from authkit_issuer.security.standard_webhooks import headers, read_secret, secret_text
from fakes.judges import need, serving
from fakes.until import until

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
BODY = b'{"test": 2432232314}'
ID, TIMESTAMP = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330


def test_the_vector_of_the_standards_libraries_is_met() -> None:
    secret = read_secret(SECRET)
    assert secret is not None
    assert secret_text(secret) == SECRET
    assert headers([secret], ID, TIMESTAMP, BODY) == {
        "webhook-id": ID,
        "webhook-timestamp": str(TIMESTAMP),
        "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
    }


def test_each_secret_signs_in_its_place() -> None:
    one, two = bytes(32), bytes([1]) * 32
    both = headers([one, two], ID, TIMESTAMP, BODY)["webhook-signature"].split(" ")
    assert both == [headers([key], ID, TIMESTAMP, BODY)["webhook-signature"] for key in (one, two)]


def test_a_text_of_another_form_is_not_read() -> None:
    assert read_secret("whsec_!") is None


async def test_the_library_of_the_standard_accepts_what_is_sent(make_service, record) -> None:
    need("standardwebhooks")
    import time

    service = await make_service(clock=time.time)
    with serving("webhook_receiver.py") as port:
        base = f"http://127.0.0.1:{port}"
        made = await service.webhooks.add(f"{base}/hook")
        async with httpx.AsyncClient(base_url=base) as client:
            await client.put("/secret", content=made.secret)
            for number in range(3):
                await record(service, number)
            assert (await service.webhooks.test(made.id)).ok
            accepted: list[object] = []

            async def look() -> bool:
                accepted[:] = (await client.get("/accepted")).json()
                return len(accepted) >= 4

            while not await look():
                pass
            await client.put("/secret", content=secret_text(bytes(32)))
            assert (await service.webhooks.test(made.id)).text == "status 400"
    await until(lambda: {"session_created", "test"} == {str(kind) for kind in accepted})
