"""Evaluations: they get predict() and batches, and return numbers and figures."""
