"""Asking a model in words whether a recording shows a finding, and how far to believe it."""
