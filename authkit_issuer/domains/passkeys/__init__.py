"""Passkeys: their registration, the sign-ins with them, and their owners' list."""
