"""Reading state dicts from untrusted files: tensors come out, code never runs."""

import contextlib
import json
import pathlib
import pickle
from collections.abc import Iterator
from typing import Any, NamedTuple

import ml_dtypes
import numpy as np
from etils import epath

from elm_jax import staging

StateDict = dict[str, np.ndarray]

# Keys under which training scripts put the state dict beside other things.
CONTAINERS = ("state_dict", "model_state_dict", "model")
# weights_only=True could be bypassed before (CVE-2025-32434).
OLDEST_SAFE_TORCH = (2, 6)
# What PyTorch Lightning and the torch of its time leave in a training checkpoint and no tensor
# needs: a one-cycle schedule's function (reached through getattr) and settings. Reading puts
# something that does nothing in their places.
LEFT_BY_TRAINING = (
    "builtins.getattr",
    "torch.optim.lr_scheduler.OneCycleLR",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "lightning.fabric.utilities.data.AttributeDict",
)


class UnreadableWeights(ValueError):
    """A weights file that is broken, unsafe, or holds something else."""


class WeightsFile(NamedTuple):
    """What a file of weights holds.

    Attributes:
      state: arrays by name, in the file's order.
      beside: names of what stands beside the state dict: a training's epoch, its optimiser's
        moments, ...; not read.
    """

    state: StateDict
    beside: tuple[str, ...] = ()


def read_state_dict(path: epath.PathLike) -> StateDict:
    """Reads a PyTorch ``.pt``/``.pth``/``.bin``/``.ckpt`` or a ``.safetensors`` file.

    A state dict kept under ``state_dict``, ``model_state_dict`` or ``model`` is found; the prefix
    ``module.`` that DistributedDataParallel puts before every name is taken off.

    Args:
      path: the file; pickles are read with ``weights_only=True``, so nothing in them is executed.

    Returns:
      numpy arrays by name, in the file's order.

    Raises:
      FileNotFoundError: no such file.
      UnreadableWeights: truncated, unsafe, no state dict, or an unknown suffix.
    """
    return read_weights_file(path).state


def read_weights_file(path: epath.PathLike) -> WeightsFile:
    """:func:`read_state_dict`, and what stands beside the tensors in a training's checkpoint.

    Raises:
      FileNotFoundError, UnreadableWeights: likewise.
    """
    path = staging.local(path)
    if not path.is_file():
        raise FileNotFoundError(f"no weights file {path}")
    if path.suffix == ".safetensors":
        found = WeightsFile(_read_safetensors(path))
    elif path.suffix in (".pt", ".pth", ".bin", ".ckpt"):
        found = _read_torch(path)
    else:
        raise UnreadableWeights(
            f"{path}: unknown kind of weights file {path.suffix!r}; known: .pt, .pth, .bin, .ckpt, "
            ".safetensors"
        )
    return found._replace(state=_strip_ddp(found.state, path))


def read_hf_weights(directory: epath.PathLike) -> StateDict:
    """Reads the weights in a Hugging Face model directory.

    In order of preference: ``model.safetensors``, its shards, ``pytorch_model.bin``.

    Raises:
      FileNotFoundError: none of these is there.
      UnreadableWeights: a file is broken, or the index names a file outside the directory.
    """
    directory = staging.local_folder(directory)
    whole, index = directory / "model.safetensors", directory / "model.safetensors.index.json"
    if whole.is_file():
        return read_state_dict(whole)
    if index.is_file():
        state: StateDict = {}
        for name in sorted(set(_read_index(index).values())):
            if pathlib.PurePath(name).name != name:
                raise UnreadableWeights(f"{index}: names a file outside its folder: {name!r}")
            state.update(read_state_dict(directory / name))
        return state
    if (directory / "pytorch_model.bin").is_file():
        return read_state_dict(directory / "pytorch_model.bin")
    raise FileNotFoundError(
        f"{directory} holds neither model.safetensors (or its shards) nor pytorch_model.bin"
    )


def _read_index(path: pathlib.Path) -> dict[str, str]:
    try:
        return dict(json.loads(path.read_text(encoding="utf-8"))["weight_map"])
    except (ValueError, KeyError, TypeError) as error:
        raise UnreadableWeights(f"{path}: not an index of safetensors shards: {error}") from error


def _read_safetensors(path: pathlib.Path) -> StateDict:
    import safetensors
    import safetensors.numpy

    try:
        return safetensors.numpy.load_file(path)
    except (safetensors.SafetensorError, KeyError) as error:
        raise UnreadableWeights(f"{path}: truncated or no safetensors file: {error}") from error


def _read_torch(path: pathlib.Path) -> WeightsFile:
    try:
        import torch
    except ImportError as error:
        raise UnreadableWeights(
            f"{path}: reading a PyTorch file needs PyTorch: pip install 'elm_jax[torch]', or "
            "convert it to .safetensors elsewhere"
        ) from error
    if tuple(int(part) for part in torch.__version__.split(".")[:2]) < OLDEST_SAFE_TORCH:
        raise UnreadableWeights(
            f"PyTorch {torch.__version__} can be made to run code by a weights file "
            "(CVE-2025-32434); at least 2.6 is needed"
        )
    try:
        with _inert_leftovers():
            loaded = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise UnreadableWeights(
            f"{path}: refused: it holds something other than tensors, which reading would execute; "
            f"ask its author for a plain state dict or a .safetensors file ({_first_line(error)})"
        ) from error
    # What torch raises for damaged archives is not documented; seen were RuntimeError, EOFError,
    # OSError, BadZipFile, KeyError, ValueError, IndexError, TypeError.
    except Exception as error:
        raise UnreadableWeights(
            f"{path}: truncated or no PyTorch file: {_first_line(error)}"
        ) from error
    state, beside = _inner(loaded, path)
    return WeightsFile({name: _to_numpy(name, x, path) for name, x in state.items()}, beside)


class _Inert:
    """Stands for an object that reading does not need; takes anything, keeps nothing."""

    def __init__(self, *args: Any, **kwargs: Any):
        del args, kwargs

    def __setstate__(self, state: Any):
        del state


@contextlib.contextmanager
def _inert_leftovers() -> Iterator[None]:
    """Lets ``weights_only`` pass over :data:`LEFT_BY_TRAINING`: none of it is imported or run."""
    import torch

    with torch.serialization.safe_globals([(_Inert, name) for name in LEFT_BY_TRAINING]):
        yield


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _inner(loaded: object, path: pathlib.Path) -> tuple[dict, tuple[str, ...]]:
    """The state dict in what ``torch.load`` gave, and the names of what stands beside it."""
    for key in CONTAINERS:
        if isinstance(loaded, dict) and isinstance(loaded.get(key), dict):
            return loaded[key], tuple(str(name) for name in loaded if name != key)
    if not isinstance(loaded, dict) or not loaded:
        raise UnreadableWeights(f"{path}: expected a state dict, found {type(loaded).__name__}")
    return loaded, ()


def _to_numpy(name: object, value: object, path: pathlib.Path) -> np.ndarray:
    import torch

    if not isinstance(name, str) or not isinstance(value, torch.Tensor):
        raise UnreadableWeights(
            f"{path}: expected tensors by name, found {type(value).__name__} under {name!r}"
        )
    if value.layout is not torch.strided or value.is_quantized:
        raise UnreadableWeights(f"{path}: {name} is sparse or quantized; a dense tensor is needed")
    value = value.detach()
    if value.dtype == torch.bfloat16:  # numpy has none of its own
        return value.contiguous().view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return value.numpy()


def _strip_ddp(state: StateDict, path: pathlib.Path) -> StateDict:
    wrapped = [name.startswith("module.") for name in state]
    if not any(wrapped):
        return state
    if not all(wrapped):
        raise UnreadableWeights(f"{path}: some names begin with 'module.' and some do not")
    return {name.removeprefix("module."): value for name, value in state.items()}
