"""Paths of leaves in trees of parameters, and ordered rules over them."""

import re
from collections.abc import Sequence
from typing import Any

import jax


def path_of(key_path: Sequence[Any]) -> str:
    """``encoder/stem/conv_0/kernel`` for a pytree key path."""
    return jax.tree_util.keystr(key_path, simple=True, separator="/")


def match_rules(tree: Any, rules: Sequence[tuple[str, Any]], *, what: str) -> Any:
    """Gives every leaf the value of the first rule whose regex matches its whole path.

    Raises:
      ValueError: a leaf that no rule covers, or a rule that covers no leaf (a typo, mostly); the
        catch-all ``.*`` may be idle.
    """
    compiled = [(re.compile(pattern), value) for pattern, value in rules]
    used = set()

    def value_of(key_path, _):
        path = path_of(key_path)
        matching = [i for i, (pattern, _) in enumerate(compiled) if pattern.fullmatch(path)]
        if not matching:
            raise ValueError(f"{what}: no rule covers parameter {path!r}; end the rules with '.*'")
        used.update(matching)
        return compiled[matching[0]][1]

    matched = jax.tree_util.tree_map_with_path(value_of, tree)
    idle = [p for i, (p, _) in enumerate(rules) if i not in used and p != ".*"]
    if idle:
        raise ValueError(f"{what}: rules {idle} match no parameter of this model")
    return matched
