"""What braindecode's faces share: facts of the signal that follow from one another, and configs."""

import copy
import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from elm_jax.signal_facts import SignalFacts, plain_channel

_FACTS = tuple(field.name for field in dataclasses.fields(SignalFacts))


class SignalModel:
    """A model of signals whose constructor has the arguments of a braindecode class."""

    # Arguments that may hold code of the user's own, which a config can only name.
    _code: ClassVar[tuple[str, ...]] = ()
    _given: dict[str, Any]
    _facts: SignalFacts

    def _take(self, given: Mapping[str, Any]) -> None:
        """Keeps the constructor's arguments.

        Raises:
          ValueError: facts of the signal that contradict each other.
        """
        self._given = {name: given[name] for name in self._arguments()}
        self._facts = SignalFacts(**{name: self._given[name] for name in _FACTS})

    def _require_counts(self, names: Sequence[str]) -> None:
        """Raises where one of these arguments is given and less than one."""
        counts = {k: self._given[k] for k in names if self._given[k] is not None}
        if less := {k: v for k, v in counts.items() if v < 1}:
            raise ValueError(f"{less}: each must be one or more")

    @classmethod
    def _arguments(cls) -> tuple[str, ...]:
        return tuple(inspect.signature(cls).parameters)

    @property
    def n_outputs(self) -> int:
        """Classes, or numbers of an embedding."""
        return self._facts.known("n_outputs")

    @property
    def n_chans(self) -> int:
        """Channels of the input."""
        return self._facts.known("n_chans")

    @property
    def chs_info(self) -> Sequence[Mapping[str, Any]]:
        """The channels, as they were given."""
        return self._facts.known("chs_info")

    @property
    def n_times(self) -> int:
        """Samples of a window."""
        return self._facts.known("n_times")

    @property
    def input_window_seconds(self) -> float:
        """Length of a window."""
        return self._facts.known("input_window_seconds")

    @property
    def sfreq(self) -> float:
        """Sampling rate in Hz."""
        return self._facts.known("sfreq")

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """Of a batch of one window."""
        return 1, self.n_chans, self.n_times

    def get_config(self) -> dict[str, Any]:
        """All arguments, JSON-ready; code of the user's own by its dotted name."""
        config = dict(self._given)
        for name in self._code:
            if config[name] is not None:
                config[name] = _dotted(config[name])
        if config["chs_info"] is not None:
            config["chs_info"] = [plain_channel(ch) for ch in config["chs_info"]]
        return copy.deepcopy(config)

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> "SignalModel":
        """The model of :meth:`get_config`, or of a ``config.json`` that braindecode wrote.

        Raises:
          ValueError: unknown arguments, or modules that are only named: give them instead of names.
        """
        given = {k: v for k, v in config.items() if k != "braindecode_version"}
        if unknown := sorted(set(given) - set(cls._arguments())):
            raise ValueError(
                f"config: unknown arguments {unknown}; known: {sorted(cls._arguments())}"
            )
        if named := [k for k in cls._code if isinstance(given.get(k), str)]:
            raise ValueError(
                f"config: {', '.join(f'{k}={given[k]!r}' for k in named)} names code; a config is "
                "no reason to import any. Put the module itself in its place"
            )
        return cls(**given)


def _dotted(made_by: Callable[..., Any]) -> str:
    """The name of a user's class or function; a ``functools.partial`` has none but its text."""
    name = getattr(made_by, "__qualname__", None)
    return repr(made_by) if name is None else f"{made_by.__module__}.{name}"
