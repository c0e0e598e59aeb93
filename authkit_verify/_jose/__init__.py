"""JOSE: compact tokens, algorithms and keys (RFC 7515, 7517, 7518)."""
