"""The arguments of a braindecode class in the ``config.json`` that it saves, read strictly."""

import dataclasses
import json
from collections.abc import Mapping
from typing import Any

from etils import epath

from elm_jax import paths
from elm_jax.channels import DICTIONARY, channel_id
from elm_jax.convert.engine import ConvertError

VERSION = "1.8.1"  # whose layouts these are
_WHOLE = ("n_outputs", "n_chans", "n_times")  # their default is None, which does not tell


@dataclasses.dataclass(frozen=True)
class BraindecodeClass:
    """What the arguments of a class are.

    Attributes:
      name: of the class, in ``braindecode.models``.
      defaults: of all arguments, in braindecode 1.8.
      telling: arguments that no other known class has: by them a file is recognised.
      words: arguments that are text where they are given.
      empty: arguments that may be null though their default is not.
    """

    name: str
    defaults: Mapping[str, Any]
    telling: frozenset[str]
    words: frozenset[str]
    empty: frozenset[str] = frozenset()

    def claims(self, values: Any) -> bool:
        """Whether the content of a ``config.json`` is of this class."""
        return (
            isinstance(values, Mapping) and "format" not in values and self.telling <= set(values)
        )

    def claims_folder(self, path: epath.PathLike) -> bool:
        """Whether this is a folder that the class saved.

        Raises:
          paths.RemoteError: a bucket does not answer.
        """
        try:
            with paths.told():
                text = (paths.of(path) / "config.json").read_text(encoding="utf-8")
            return self.claims(json.loads(text))
        except paths.RemoteMissing:
            return False
        except paths.RemoteError:
            raise
        except (OSError, ValueError, RecursionError):
            return False

    def read(self, path: epath.PathLike) -> dict[str, Any]:
        """The arguments in a ``config.json``, defaults where it does not say.

        Raises:
          ConvertError: broken, of another class, with an argument that braindecode 1.8 lacks, or
            of another kind.
        """
        path = paths.of(path)
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise ConvertError(f"{path}: broken JSON: {error}") from error
        if not self.claims(values):
            raise ConvertError(f"{path}: expected the arguments of braindecode.models.{self.name}")
        return dict(self.defaults) | self.checked(values, source=str(path))

    def checked(self, values: Mapping[str, Any], *, source: str) -> dict[str, Any]:
        """Arguments as they were given, the version of braindecode left out.

        Raises:
          ConvertError: unknown ones, or some of another kind; names them.
        """
        values = {k: v for k, v in values.items() if k != "braindecode_version"}
        if unknown := sorted(set(values) - set(self.defaults)):
            raise ConvertError(
                f"{source}: arguments {unknown} are not known (braindecode {VERSION} has none such)"
            )
        wrong = [name for name, value in values.items() if not self._is_of_kind(name, value)]
        if wrong:
            given = {name: values[name] for name in wrong}
            raise ConvertError(f"{source}: arguments of the wrong kind: {given}")
        return values

    def _is_of_kind(self, name: str, value: Any) -> bool:
        default = self.defaults[name]
        if value is None:
            return default is None or name in self.empty
        if name == "chs_info":
            return isinstance(value, list) and all(
                isinstance(ch, dict) and isinstance(ch.get("ch_name"), str) for ch in value
            )
        if name in self.words:
            return isinstance(value, str)
        if isinstance(default, bool) or isinstance(value, bool):
            return isinstance(default, bool) and isinstance(value, bool)
        whole = isinstance(default, int) or name in _WHOLE
        return isinstance(value, int if whole else int | float)


def channel_of(name: str) -> dict[str, Any]:
    """A channel as braindecode stores it: it knows T7, not T3."""
    number = channel_id(name)
    return {"ch_name": name if number is None else DICTIONARY[number], "kind": _MNE_EEG}


_MNE_EEG = 2  # FIFFV_EEG_CH
