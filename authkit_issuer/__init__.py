"""The stateful half: users, sessions, tokens and their HTTP surface."""
