"""What several domains share: one-time codes, messages, names, devices, entitlements."""
