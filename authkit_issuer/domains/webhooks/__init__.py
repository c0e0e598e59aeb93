"""Webhooks: endpoints of the host, and the delivery of events to them."""
