"""Encoders, towers and heads: linen modules, layout b c t at every door."""
