"""From a section of the config to an object: by name, with its settings, mistakes said plainly."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any


def construct(make: Callable[..., Any], settings: Mapping[str, Any], where: str, **extra: Any):
    """Calls ``make`` with the settings but ``name``.

    Raises:
      ValueError: a keyword that ``make`` lacks, or needs and is not given; the message says
        ``where`` and lists the known.
    """
    kwargs = {k: v for k, v in settings.items() if k != "name"}
    known = [
        p for p in inspect.signature(make).parameters if p not in ("self", "parent", "name", *extra)
    ]
    unknown = sorted(set(kwargs) - set(known))
    if unknown:
        raise ValueError(
            f"{where}: unknown {unknown}; known: {sorted(known)}. Kinds differ in their settings: "
            f"to change the kind give all of them, --{where}='{{\"name\": ..., ...}}'"
        )
    parameters = inspect.signature(make).parameters
    missing = [p for p in known if parameters[p].default is parameters[p].empty and p not in kwargs]
    if missing:
        raise ValueError(f"{where}: lacks {missing}; known: {sorted(known)}")
    return make(**kwargs, **extra)


def lookup(kinds: Mapping[str, Any], name: str, where: str) -> Any:
    """The entry of a kind.

    Raises:
      ValueError: an unknown name; lists the known ones.
    """
    if name not in kinds:
        raise ValueError(f"{where} is {name!r}; known: {sorted(kinds)}")
    return kinds[name]


def declared(make: Callable[..., Any], offered: Mapping[str, Any]) -> dict[str, Any]:
    """Those of ``offered`` that ``make`` takes."""
    parameters = inspect.signature(make).parameters
    return {name: value for name, value in offered.items() if name in parameters}
