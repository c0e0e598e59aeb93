"""What several domains share: messages, names, contacts, devices, entitlements, rate limits."""
