"""Electrocardiograms as pictures, drawn on the device: what image towers look at."""
