"""Access tokens and the published keys."""
