"""A model as one weights file in a published layout, with its settings beside it.

NAME.pt or NAME.safetensors     ELM's encoder and projector, for the authors' class and for ours; or
                                braindecode's sleep stager, or the siamese network around it; or
                                MERL's class or network, a masked autoencoder or its encoder
NAME.yaml                       settings in that layout; ours in a section of its own
NAME.probe.npz                  an input and what the model makes of it
NAME.load_report.json           what became of every tensor
"""

import copy
import dataclasses
import pathlib
import shutil
import tempfile
from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from etils import epath

from elm_jax import paths, staging
from elm_jax.convert import (
    ecg_file,
    folder,
    merl,
    network,
    probe,
    released,
    sleep_conv,
    sleep_file,
    vit1d,
)
from elm_jax.convert.card import LICENCE_NOTES
from elm_jax.convert.engine import ConvertError, LoadReport, flatten
from elm_jax.convert.parts import ModelParts
from elm_jax.convert.reader import StateDict
from elm_jax.convert.tensor_files import COUNTERS, MODELS, Network, to_states

SUFFIXES = {"pt": (".pt", ".pth", ".bin", ".ckpt"), "safetensors": (".safetensors",)}
WHY_LEFT_OUT = "left out as asked: such a file has no place for it"


class Layout(NamedTuple):
    """A layout of single files.

    Attributes:
      kept: of a recipe, the modules that a file has a place for.
      state: the state dict of a model.
      settings: of a model and our section, the YAML's content.
      read: reads such a file.
      objective: of a recipe and the parameters that are kept, ``config.objective`` of these; None:
        what the file's own section needs is ELM's.
    """

    kept: Callable[[Mapping[str, Any]], tuple[str, ...]]
    state: Callable[[ModelParts], StateDict]
    settings: Callable[[ModelParts, dict[str, Any]], dict[str, Any]]
    read: Callable[[epath.PathLike], ModelParts]
    objective: Callable[[Mapping[str, Any], Mapping[str, Any]], dict[str, Any]] | None = None


def write_single_file(
    parts: ModelParts,
    path: epath.PathLike,
    *,
    leave_out: Collection[str] = (),
    predict: probe.Predict | None = None,
    overwrite: bool = False,
) -> LoadReport:
    """Writes a model's encoder, and what else there is a place for, as its authors' code does.

    Args:
      parts: the model.
      path: ``.pt`` or ``.safetensors``.
      leave_out: modules that the file has no place for and that may go, by name.
      predict: of the model's network, if that is built already and nothing is left out.
      overwrite: replace a file that is there.

    Returns:
      what became of every tensor, as found when the file was read back.

    Raises:
      FileExistsError: a file stands there and ``overwrite`` was not said.
      ConvertError: a module has no place in the file and was not named in ``leave_out``.
      ImportError: a ``.pt`` without PyTorch.
    """
    target = paths.absolute(path)
    names = [
        target.name,
        *(f"{target.stem}{s}" for s in (".yaml", ".probe.npz", ".load_report.json")),
    ]
    with paths.told():
        there = [name for name in names if (target.parent / name).exists()]
    if there and not overwrite:
        raise FileExistsError(f"{target.parent} has {there} already: overwrite=True (--overwrite)")
    parts, excused = _without(folder.as_numpy(parts), leave_out)
    if excused:
        predict = None
    remote = paths.is_remote(target)
    if not remote:
        target.parent.mkdir(parents=True, exist_ok=True)
    near = None if remote else target.parent
    with tempfile.TemporaryDirectory(dir=near, prefix=".convert.") as place:
        unique = pathlib.Path(place) / target.name
        _write(parts, unique, predict)
        back = _layout(parts).read(unique)
        if back.weights_sha256 != parts.weights_sha256:
            raise ConvertError(f"{target}: what was written reads back differently")
        report = back.report
        report.source = parts.source or report.source
        report.excused |= excused
        folder.write_report(unique.with_suffix(".load_report.json"), parts.report, report)
        for name in reversed(names):  # the weights last: then all that they need is there
            put = staging.send if remote else shutil.move
            put(unique.parent / name, target.parent / name)
    return report


def _write(parts: ModelParts, path: pathlib.Path, predict: probe.Predict | None) -> None:
    import yaml

    state = _layout(parts).state(parts)
    write = folder.write_safetensors if path.suffix == ".safetensors" else folder.write_pt
    write(state, path)
    made = network.make_probe(parts, predict)
    path.with_suffix(".probe.npz").write_bytes(made.to_bytes())
    settings = _layout(parts).settings(parts, _our_section(parts))
    text = yaml.safe_dump(settings, sort_keys=False)
    path.with_suffix(".yaml").write_text(text, encoding="utf-8")


def _without(parts: ModelParts, leave_out: Collection[str]) -> tuple[ModelParts, dict[str, str]]:
    """What the published layout holds, and the excused paths of what it does not."""
    kept = _layout(parts).kept(parts.recipe)
    extra = [name for name in parts.params if name not in kept]
    if lost := [name for name in extra if name not in leave_out]:
        raise ConvertError(
            f"{parts.source}: {', '.join(lost)}: a file in the published layout has no place for "
            "this. Write a folder (--to folder), or say that it may go: --leave_out "
            + ",".join(extra)
        )
    params = {k: v for k, v in parts.params.items() if k in kept}
    stats = {k: v for k, v in parts.model_state["batch_stats"].items() if k in kept}
    lost_leaves = flatten({k: parts.params[k] for k in extra})
    recipe = copy.deepcopy(parts.recipe)
    sizes = recipe["objective"].get("signal_projection")
    recipe["text"] = None
    if (own := _layout(parts).objective) is not None:
        recipe["objective"] = own(recipe, params)
    elif "classifier" not in params:
        sizes = sizes if "signal_projector" in params else None
        recipe["objective"] = dict(name="two_tower", signal_projection=sizes, text_projection=None)
    changes = dict(params=params, model_state={"batch_stats": stats}, recipe=recipe)
    if extra:  # it was of the whole
        changes["probe"] = None
    excused = {f"params/{path}": WHY_LEFT_OUT for path in lost_leaves}
    return dataclasses.replace(parts, **changes), excused


def _our_section(parts: ModelParts) -> dict[str, Any]:
    """What published settings have no place for."""
    return dict(
        spec=parts.spec.to_dict(),
        dtype=parts.recipe["dtype"],
        assumed=list(parts.assumed),
        trained_on=parts.trained_on,
        origin=parts.origin,
        licence_note=LICENCE_NOTES[parts.origin],
        extra={k: v for k, v in parts.extra.items() if k != COUNTERS},
    )


def _elm_state(parts: ModelParts) -> StateDict:
    whole = Network(parts.recipe, parts.params, parts.model_state)
    return to_states(whole, parts.extra.get(COUNTERS))[MODELS["conv_eeg"].stem]


def settings_of(parts: ModelParts, ours: dict[str, Any]) -> dict[str, Any]:
    """The YAML's content: what ELM's authors' code reads, and what it has no place for.

    Raises:
      ConvertError: another encoder than ELM's.
    """
    spec, encoder = parts.spec, parts.recipe["encoder"]
    if encoder["name"] != "conv_eeg":
        raise ConvertError(
            f"encoder {encoder['name']!r} is not ELM's, nor one of {sorted(LAYOUTS)}, whose "
            "layout a single file has: use --to folder, or --to braindecode where that has it"
        )
    module = network.build_network(parts.recipe, spec).encoder
    sizes = parts.recipe["objective"]["signal_projection"]
    branches = [[list(b) for b in rows] for rows in (module.kernels, module.block_kernels or ())]
    sfreq = int(spec.sfreq_hz) if spec.sfreq_hz == int(spec.sfreq_hz) else spec.sfreq_hz
    model = dict(
        type="EEG_ResNet",
        model_name="xy",
        in_channels=len(spec.channels),
        n_time_samples=spec.window_samples,
        rep_dim=sum(width for _, width, _ in module.kernels),
        encoder_conv1_params=branches[0],
        encoder_res_params=branches[1] or [list(b) for b in module.kernels],
        encoder_blocks=module.n_blocks,
        encoder_pool_size=list(module.pool_sizes),
        encoder_dropout_p=module.dropout or False,
        res_dropout_p=module.res_dropout or False,
        ELM=dict(eeg_proj_size=list(sizes) if sizes else None),
    )
    return dict(dataset=dict(sfreq=sfreq), model=model) | {released.OUR_SECTION: ours}


_ECG = Layout(
    ecg_file.kept, ecg_file.state, ecg_file.settings_of, ecg_file.read, ecg_file.objective_of
)
# By config.encoder.name.
LAYOUTS = {
    "conv_eeg": Layout(
        lambda recipe: ("encoder", "signal_projector"),
        _elm_state,
        settings_of,
        released.read_released,
    ),
    sleep_conv.NAME: Layout(
        sleep_file.kept, sleep_file.state, sleep_file.settings_of, sleep_file.read
    ),
    merl.NAME: _ECG,
    vit1d.NAME: _ECG,
}


def _layout(parts: ModelParts) -> Layout:
    """That of the encoder; ELM's, whose settings say what is wrong, where there is none."""
    return LAYOUTS.get(parts.recipe["encoder"]["name"], LAYOUTS["conv_eeg"])
