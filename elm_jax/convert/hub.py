"""Saved models on the Hugging Face hub: up and down."""

import pathlib
import re
import tempfile
from collections.abc import Callable
from typing import Any

from etils import epath

from elm_jax import staging
from elm_jax.convert import folder, probe
from elm_jax.convert.card import LICENCE_NOTES
from elm_jax.convert.parts import ModelParts

HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?")


class NotRedistributable(ValueError):
    """Weights whose owners have not said that they may be passed on."""


def push_to_hub(
    model: ModelParts | epath.PathLike,
    repo_id: str,
    *,
    predict: probe.Predict | None = None,
    private: bool = True,
    token: str | None = None,
    message: str = "A model saved by elm_jax",
    allow_unlicensed: bool = False,
    api: Any = None,
) -> str:
    """Uploads a saved model; returns its address.

    Args:
      model: a folder that :func:`elm_jax.convert.folder.write_folder` wrote, or the parts of one.
      repo_id: "owner/name"; made if it does not exist.
      predict: of the network of ``model``, if that is built already.
      private: whether a repository that is made here is private.
      token: of the hub; the stored one by default.
      message: of the commit.
      allow_unlicensed: upload weights whose owners state no licence: you have their leave.
      api: a ``huggingface_hub.HfApi`` (tests give another).

    Raises:
      NotRedistributable: such weights, without ``allow_unlicensed``.
      ConvertError, ProbeMismatch: the folder is not a whole saved model.
      OSError: the hub refuses or cannot be reached.
    """
    if isinstance(model, ModelParts):
        with tempfile.TemporaryDirectory() as place:
            _require_leave(folder.as_numpy(model).origin, model.source, allow_unlicensed)
            folder.write_folder(model, pathlib.Path(place) / "model", predict=predict)
            return _upload(pathlib.Path(place) / "model", repo_id, private, token, message, api)
    model = staging.local_folder(model)
    parts = folder.read_folder(model)
    _require_leave(parts.origin, parts.source, allow_unlicensed)
    return _upload(model, repo_id, private, token, message, api)


def _require_leave(origin: str, source: str, allowed: bool) -> None:
    if origin and not allowed:
        raise NotRedistributable(
            f"{source}: {LICENCE_NOTES[origin]} If its authors gave you leave, say "
            "allow_unlicensed=True."
        )


def _upload(
    path: pathlib.Path, repo_id: str, private: bool, token: str | None, message: str, api: Any
) -> str:
    import huggingface_hub
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, OfflineModeIsEnabled

    api = api or huggingface_hub.HfApi(token=token)
    try:
        made = api.create_repo(repo_id, private=private, exist_ok=True)
        api.upload_folder(repo_id=repo_id, folder_path=str(path), commit_message=message)
    except HFValidationError as error:
        raise ValueError(f"{repo_id!r} is no id of a model on the hub: {error}") from error
    except (HfHubHTTPError, OfflineModeIsEnabled, OSError) as error:
        raise OSError(
            f"{repo_id} could not be uploaded ({_first_line(error)}). Is there a network, and a "
            "token that may write there (hf auth login)?"
        ) from error
    return str(made)


def fetch_hub_folder(
    repo_id: str,
    known: Callable[[epath.PathLike], bool] = folder.is_folder,
    *,
    revision: str | None = None,
) -> pathlib.Path:
    """The local folder of a model on the hub: from the cache, or downloaded into it.

    Args:
      repo_id: "owner/name".
      known: whether a folder is of a kind that can be read.
      revision: a branch, tag or commit.

    Raises:
      FileNotFoundError: it is neither in the cache nor can it be downloaded; or no such path.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError

    if not HUB_ID.fullmatch(repo_id):
        raise FileNotFoundError(f"no file or folder {repo_id}")
    problem: Exception | None = None
    # The newest first; what is cached will do where there is no network.
    for cached in (False, True):
        try:
            found = snapshot_download(
                repo_id, revision=revision, local_files_only=cached, ignore_patterns=["*.pt"]
            )
        except (OSError, HFValidationError, ValueError) as error:
            problem = problem or error
            continue
        if known(found):
            return pathlib.Path(found)
        raise FileNotFoundError(
            f"{repo_id} on the Hugging Face hub is no model saved by elm_jax (no config.json with "
            f"format {folder.FORMAT!r}) or by braindecode"
        )
    raise FileNotFoundError(
        f"{repo_id!r} is no file or folder here, and as the id of a model on the Hugging Face hub "
        f"it is neither in the local cache nor could it be downloaded ({_first_line(problem)}). "
        f"Where there is a network: hf download {repo_id}; then load the folder that it names."
    ) from problem


def _first_line(error: Exception | None) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
