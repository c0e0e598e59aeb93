"""Diagnosis of a live issuer."""
