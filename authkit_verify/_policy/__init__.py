"""What each issuer's tokens must satisfy, and the claims that result."""
