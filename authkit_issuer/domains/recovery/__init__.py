"""Recovery by users who lost every second factor."""
