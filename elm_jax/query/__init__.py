"""Looking for moments of recordings by a text."""
