"""Sign-in with a Solana wallet."""
