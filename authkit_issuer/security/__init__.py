"""Keys, codes, tokens and password hashes: pure or CPU-bound, never a database."""
