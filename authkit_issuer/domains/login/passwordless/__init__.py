"""Sign-in by a message to an address or number, without a password."""
