"""Token introspection (RFC 7662): the issuer is asked if a token is active."""
