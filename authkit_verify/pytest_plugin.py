"""A pytest fixture for the tests of an application: ``fake_issuer``, a new one for each test.

Activate it in the ``conftest.py`` of the root folder: ``pytest_plugins = ["authkit_verify.pytest_plugin"]``.
"""

from __future__ import annotations

import pytest

from authkit_verify.testing import FakeIssuer

__all__ = ["fake_issuer"]


@pytest.fixture
def fake_issuer() -> FakeIssuer:
    """Return an issuer in process. It mints tokens, and ``fake_issuer.verifier()`` accepts them."""
    return FakeIssuer()
