"""Sender-constrained tokens (RFC 9449, RFC 8705): what a token is bound to, and the proof of a request."""
