"""Electrocardiograms: leads by name, recordings in millivolts, and how they become pieces."""
