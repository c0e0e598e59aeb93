"""Stores for short-lived records: in this process, or shared through Redis. Both keep ``EphemeralStore``."""
