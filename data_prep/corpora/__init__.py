"""One module a corpus: which files there are, whose they are, what belongs to them."""
