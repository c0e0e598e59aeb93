"""Sign-in and reauthentication."""
