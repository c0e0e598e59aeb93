"""Registration, verification and contact changes."""
