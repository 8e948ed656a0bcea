"""Weights between PyTorch's layouts and ours, by rule tables."""
