"""Shards, samplers, text and the input pipeline; never imports models."""
