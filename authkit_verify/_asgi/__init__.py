"""The ASGI layer: middleware, guards and challenges."""
