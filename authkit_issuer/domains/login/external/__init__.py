"""Sign-in with an external OAuth or OpenID Connect provider."""
