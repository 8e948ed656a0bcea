"""Classical models on frozen vectors: what they hold, by label, people and budget."""
