"""Refresh sessions."""
