"""Explanations of refused tokens."""
