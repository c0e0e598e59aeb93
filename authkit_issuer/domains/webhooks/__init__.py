"""Webhooks: endpoints of the host, and the delivery of events to them.

``service`` adds and changes endpoints. ``worker`` has the pauses between the tries, the lease, and the moment
at which an event is given up. ``sending`` signs and sends one message; ``client`` is its HTTP client, and
``addresses`` the networks that it may reach.
"""
