"""How messages list things."""

from collections.abc import Sequence


def listed(lines: Sequence[str], *, most: int = 12) -> str:
    """Lines below one another, indented; beyond ``most`` their number alone."""
    more = [f"... and {len(lines) - most} more"] if len(lines) > most else []
    return "\n  ".join([*lines[:most], *more])
