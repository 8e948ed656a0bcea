"""Recipes: one a file, each with ``get_config(arg)``; ``arg`` is empty, "demo" or "smoke"."""
