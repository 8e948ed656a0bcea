"""A saved model: one folder for us, for PyTorch users, and for the Hugging Face hub.

config.json              what it is: signal, recipe, whom it was trained on, digest of the weights
model.safetensors, .pt   encoder and projector under the published PyTorch names
text_projector.safetensors, classifier.safetensors, text_tower/     where the model has them
probe.npz                an input and what the model makes of it
picture.npz              of a model that looks at pictures of ECGs: all that drawing needs
load_report.json         what became of every tensor
README.md                the model card
elm_torch.py, eeg_torch.py, ecg_torch.py, image_torch.py, sleep_torch.py, mlp_torch.py,
heads_torch.py, preprocess.py, ecg_preprocess.py, verify.py use and check it without this project
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil
import tempfile
import uuid
from collections.abc import Iterator
from typing import Any

import jax
import numpy as np
from etils import epath

from elm_jax import paths, staging
from elm_jax.convert import ecg_image, network, probe, tower
from elm_jax.convert.card import LICENCE_NOTES, model_card
from elm_jax.convert.engine import ConvertError, LoadReport
from elm_jax.convert.parts import ModelParts, origin_of, require_description, weights_sha256
from elm_jax.convert.reader import StateDict, read_state_dict
from elm_jax.convert.tensor_files import (
    COUNTERS,
    STEMS,
    Network,
    counters_of,
    from_states,
    to_states,
)
from elm_jax.data.spec import SignalSpec

FORMAT, FORMAT_VERSION = "elm_jax", 1
STAND_ALONE = (
    "elm_torch.py", "eeg_torch.py", "ecg_torch.py", "image_torch.py", "sleep_torch.py",
    "mlp_torch.py", "heads_torch.py", "preprocess.py", "ecg_preprocess.py", "verify.py",
)  # fmt: skip


def is_folder(path: epath.PathLike) -> bool:
    """Whether this is a folder that :func:`write_folder` wrote (or says so)."""
    try:
        with paths.told():
            text = (paths.of(path) / "config.json").read_text(encoding="utf-8")
        values = json.loads(text)
    except paths.RemoteMissing:
        return False
    except paths.RemoteError:
        raise
    except (OSError, ValueError, RecursionError):
        return False
    return isinstance(values, dict) and values.get("format") == FORMAT


# -- writing --------------------------------------------------------------------------------------


@contextlib.contextmanager
def replacing(target: epath.Path, *, ours: bool, overwrite: bool) -> Iterator[pathlib.Path]:
    """A temporary folder beside ``target``, renamed to it when the block ends well.

    One for a bucket lies on this machine, and is copied there: file by file, since a store has no
    folders to rename, ``config.json`` last.

    Args:
      target: must not exist, or be an empty folder, or be ours with ``overwrite``.
      ours: whether what stands there is of the kind that is to be written.
      overwrite: replace that.

    Raises:
      FileExistsError: something else stands there.
    """
    occupied = target.exists() and not (target.is_dir() and not any(target.iterdir()))
    if occupied and not (ours and overwrite):
        hint = "overwrite=True (--overwrite) replaces it" if ours else "name another one"
        raise FileExistsError(f"{target} exists{'' if ours else ' and is something else'}: {hint}")
    if paths.is_remote(target):
        with tempfile.TemporaryDirectory() as place:
            yield pathlib.Path(place)
            with paths.told():
                target.rmtree(missing_ok=True)
            staging.send_folder(pathlib.Path(place), target, last="config.json")
        return
    target = pathlib.Path(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    unique = target.with_name(f".{target.name}.{uuid.uuid4().hex}.tmp")
    unique.mkdir()
    old = unique.with_suffix(".old")
    try:
        yield unique
        if target.exists():
            target.rename(old)
        unique.rename(target)
    except BaseException:
        if old.exists() and not target.exists():
            old.rename(target)
        shutil.rmtree(unique, ignore_errors=True)
        raise
    shutil.rmtree(old, ignore_errors=True)


def write_folder(
    parts: ModelParts,
    directory: epath.PathLike,
    *,
    predict: probe.Predict | None = None,
    overwrite: bool = False,
) -> LoadReport:
    """Writes a model as a folder that stands alone; nothing is there until all of it is.

    Args:
      parts: the model.
      directory: to make; an existing one must be a saved model, with ``overwrite``.
      predict: of the model's network, if that is built already; else it is built for the probe.
      overwrite: replace the saved model that is there.

    Returns:
      what became of every tensor, as found when the folder was read back.

    Raises:
      FileExistsError: ``directory`` is something else, or ``overwrite`` was not said.
      ConvertError: parameters that have no PyTorch name, or the folder reads back differently.
      ProbeMismatch: ``parts`` came with a probe that they do not fulfil.
    """
    target = paths.absolute(directory)
    parts = as_numpy(parts)
    with replacing(target, ours=is_folder(target), overwrite=overwrite) as unique:
        _write_tensors(parts, unique)
        ecg_image.write_picture(parts, unique)
        recipe, extra = tower.write_tower(parts, unique)
        made = network.make_probe(parts, predict)
        (unique / "probe.npz").write_bytes(made.to_bytes())
        config = _config(parts, recipe, extra)
        write_json(unique / "config.json", config)
        (unique / "README.md").write_text(model_card(parts, config), encoding="utf-8")
        for name in STAND_ALONE:
            source = pathlib.Path(__file__).parent / "standalone" / name
            shutil.copyfile(source, unique / name)
        report = read_folder(unique).report
        report.source = parts.source or report.source
        write_report(unique / "load_report.json", parts.report, report)
    return report


def as_numpy(parts: ModelParts) -> ModelParts:
    """The same parts with arrays on the host."""
    params, state = jax.tree.map(np.asarray, (parts.params, parts.model_state))
    origin = parts.origin or origin_of(params)
    return dataclasses.replace(parts, params=params, model_state=state, origin=origin)


def _write_tensors(parts: ModelParts, directory: pathlib.Path) -> None:
    whole = Network(parts.recipe, parts.params, parts.model_state)
    states = to_states(whole, parts.extra.get(COUNTERS))
    for stem, state in states.items():
        path = directory / f"{stem}.safetensors"
        write_safetensors(state, path)
        with contextlib.suppress(ImportError):  # only who has PyTorch can write its files
            write_pt(state, path.with_suffix(".pt"))


def write_pt(state: StateDict, path: pathlib.Path) -> None:
    """A state dict as PyTorch saves it: names, shapes and types as they are.

    Raises:
      ImportError: PyTorch is not installed.
    """
    import torch

    torch.save({name: torch.from_numpy(np.array(value)) for name, value in state.items()}, path)


def write_safetensors(state: StateDict, path: pathlib.Path) -> None:
    """A state dict as ``.safetensors``."""
    import safetensors.numpy

    # Not save_file: that leaves a file which only its owner may read.
    path.write_bytes(safetensors.numpy.save(dict(state), metadata={"format": "pt"}))


def _config(parts: ModelParts, recipe: dict, extra: dict) -> dict[str, Any]:
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "spec": parts.spec.to_dict(),
        "recipe": recipe,
        "assumed": list(parts.assumed),
        "trained_on": parts.trained_on,
        "weights_sha256": parts.weights_sha256,
        "origin": parts.origin,
        "licence_note": LICENCE_NOTES[parts.origin],
        "extra": extra,
    }


def write_json(path: epath.PathLike, content: Any) -> None:
    """Readable JSON; a number that is not finite is an error."""
    text = json.dumps(content, indent=1, allow_nan=False)
    paths.of(path).write_text(text + "\n", encoding="utf-8")


def write_report(path: epath.PathLike, read: LoadReport | None, written: LoadReport | None) -> None:
    """``load_report.json``: what became of every tensor, reading the source and writing this."""
    reports = {"read": read, "written": written}
    write_json(path, {k: v.to_json() for k, v in reports.items() if v is not None})


# -- reading --------------------------------------------------------------------------------------


def read_folder(directory: epath.PathLike) -> ModelParts:
    """Reads what :func:`write_folder` wrote; nothing outside of the folder, nothing that runs.

    Raises:
      FileNotFoundError: a file is missing.
      ConvertError: another format, a path that leads out of the folder, tensors that are missing,
        unknown, of another shape or type or not finite, weights that are not those of config.json.
      UnreadableWeights, BadProbe, BertConfigError, SpecError: a broken or unsafe file.
      ProbeMismatch: the probe is of another window.
    """
    source = str(directory)
    directory = staging.local_folder(directory)
    values = _read_config(directory / "config.json")
    spec = SignalSpec.from_dict(values["spec"], source=f"{source}/config.json")
    recipe = network.require_recipe(values["recipe"], f"{source}/config.json")
    recipe, text_dir, loaded = tower.read_tower(recipe, directory)
    params, model_state, report = _read_tensors(directory, recipe, spec, loaded)
    if loaded is not None:
        params["text_tower"] = loaded.variables["params"]
        report = report.joined(loaded.report, f"{tower.FOLDER}:")
    if (found := weights_sha256(params, model_state)) != values["weights_sha256"]:
        raise ConvertError(
            f"{source}: the weights have digest {found[:12]}..., config.json says "
            f"{str(values['weights_sha256'])[:12]}...: a file was exchanged or changed"
        )
    stored = probe.read(directory / "probe.npz", dtype=recipe["dtype"])
    stored.require_window(spec, source)
    return ModelParts(
        spec=spec,
        recipe=recipe,
        params=params,
        model_state=model_state,
        trained_on=values["trained_on"],
        text_tower_dir=text_dir,
        assumed=tuple(values["assumed"]),
        report=report,
        probe=stored,
        source=source,
        origin=origin_of(params) or values["origin"],
        extra=dict(values["extra"]) | {COUNTERS: counters_of(report)},
    )


def _read_config(path: pathlib.Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise ConvertError(f"{path}: broken JSON: {error}") from error
    if not isinstance(values, dict) or values.get("format") != FORMAT:
        raise ConvertError(f"{path}: expected a saved model (format {FORMAT!r})")
    if values.get("format_version") != FORMAT_VERSION:
        raise ConvertError(
            f"{path}: format_version is {values.get('format_version')!r}, this version of elm_jax "
            f"reads {FORMAT_VERSION}"
        )
    require_description(values, str(path))
    if missing := [name for name in ("recipe", "weights_sha256") if name not in values]:
        raise ConvertError(f"{path}: lacks {missing}")
    return values


def _read_tensors(
    directory: pathlib.Path, recipe: dict[str, Any], spec: SignalSpec, loaded: Any
) -> tuple[dict[str, Any], dict[str, Any], LoadReport]:
    if not (directory / "model.safetensors").is_file():
        raise FileNotFoundError(f"{directory} lacks model.safetensors")
    files = {stem: directory / f"{stem}.safetensors" for stem in STEMS}
    states = {stem: read_state_dict(file) for stem, file in files.items() if file.is_file()}
    bert, width = None, None
    if loaded is not None:
        bert = loaded.config
    elif recipe["objective"].get("text_projection"):
        stored = states.get("text_projector", {})
        first = stored.get("layers.0.weight", stored.get("proj_t.0.weight"))
        width = first.shape[1] if first is not None and first.ndim == 2 else 1
    try:
        objective = network.build_network(recipe, spec, bert)
        text = network.text_inputs(recipe, text_width=width, bert=bert)
        shapes = network.shapes(objective, spec, text)
    # What a setting of a wrong kind raises deep inside a network; ValueErrors say it themselves.
    except (KeyError, AttributeError, TypeError, IndexError, ArithmeticError) as error:
        raise ConvertError(
            f"{directory}/config.json: no network can be built from its recipe: {error!r}"
        ) from error
    return from_states(states, Network(recipe, *shapes), source=str(directory))
