"""The verifier and its cache of verified tokens."""
