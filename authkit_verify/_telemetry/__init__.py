"""Counters and events of a verifier."""
