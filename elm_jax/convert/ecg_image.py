"""Models that look at pictures of ECGs: their tensors and drawing tables for a folder, their tower.

``model.safetensors`` of a folder has the tower's tensors under names that are the same for all
three families (``tower.layers.0.attention.query.weight``); under those of Hugging Face
``--to hf_tower`` writes them. ``picture.npz`` beside it has all that drawing needs: which samples
are in which column, the empty paper, millivolts of network values.
"""

import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

from elm_jax import paths
from elm_jax.axes import Float
from elm_jax.convert import elm, engine, network, vit
from elm_jax.convert.engine import ConvertError, ConvertRule, LoadReport
from elm_jax.convert.parts import ModelParts
from elm_jax.convert.vit_config import Pixels
from elm_jax.image_encoder import NAME, tower_config
from elm_jax.images.background import CLIPPED, TRACE, background
from elm_jax.images.draw import mark_rows
from elm_jax.images.paper import Paper, rows_of
from elm_jax.images.picture import EcgPicture
from elm_jax.images.stacked import METHODS
from elm_jax.images.tables import CELLS_PER_PX, tables
from elm_jax.signals.ecg.leads import WANTED_ORDER

PICTURE = "picture.npz"


def _norm_rules(torch: str, ours: str) -> list[ConvertRule]:
    return [
        ConvertRule(rf"{torch}\.weight", f"{ours}/scale"),
        ConvertRule(rf"{torch}\.bias", f"{ours}/bias"),
    ]


def _layer_rules(torch: str, ours: str) -> list[ConvertRule]:
    """Attention and MLP, of a layer or of SigLIP's head."""
    names = ("attention/query", "attention/key", "attention/value", "attention/out", "mlp/up",
             "mlp/down")  # fmt: skip
    return [
        rule
        for name in names
        for rule in elm.linear_rules(
            torch + name.replace("/", r"\."), "encoder", f"tower/{ours}/{name}"
        )
    ]


_TOWER = "encoder/params/tower"
_LAYER = r"tower\.layers\.(\d+)\."
ENCODER_RULES = [
    ConvertRule(r"tower\.class_token", f"{_TOWER}/class_token"),
    ConvertRule(r"tower\.position_embed", f"{_TOWER}/position_embed"),
    ConvertRule(r"tower\.patch_embed\.weight", f"{_TOWER}/patch_embed/kernel", "image"),
    ConvertRule(r"tower\.patch_embed\.bias", f"{_TOWER}/patch_embed/bias"),
    *_norm_rules(r"tower\.pre_norm", f"{_TOWER}/pre_norm"),
    *_layer_rules(_LAYER, "layer_{0}"),
    *_norm_rules(_LAYER + "attention_norm", f"{_TOWER}/layer_{{0}}/attention_norm"),
    *_norm_rules(_LAYER + "mlp_norm", f"{_TOWER}/layer_{{0}}/mlp_norm"),
    *_norm_rules(r"tower\.norm", f"{_TOWER}/norm"),
    ConvertRule(r"tower\.pool\.probe", f"{_TOWER}/pool/probe"),
    *_layer_rules(r"tower\.pool\.", "pool"),
    *_norm_rules(r"tower\.pool\.norm", f"{_TOWER}/pool/norm"),
    *elm.linear_rules(r"tower\.pooler", "encoder", "tower/pooler"),
    ConvertRule(r"tower\.projection\.weight", f"{_TOWER}/projection/kernel", "dense"),
    # Of masked image modelling.
    ConvertRule(r"decoder\.mask_token", "decoder/params/mask_token"),
    *elm.linear_rules(r"decoder\.out", "decoder", "out"),
]


def features_of(encoder: Mapping[str, Any]) -> int:
    """Width of the pooled vector of ``config.encoder``."""
    return tower_config(encoder["tower"], encoder.get("image_size")).out_width


# -- drawing without this project -----------------------------------------------------------------


def write_picture(parts: ModelParts, directory: pathlib.Path) -> None:
    """Writes ``picture.npz`` of a model that draws; nothing for another."""
    if parts.recipe["encoder"].get("name") != NAME:
        return
    encoder = network.build_network(parts.recipe, parts.spec).encoder
    picture: EcgPicture = encoder.picture
    own = _stacked(picture) if picture.paper is None else _paper(picture, picture.paper)
    for name in ("mv_per_value", "mv_at_zero", "pixel_mean", "pixel_std"):
        own[name] = np.asarray(getattr(encoder, name), np.float32)
    np.savez_compressed(directory / PICTURE, **own)


def _paper(picture: EcgPicture, paper: Paper) -> dict[str, np.ndarray]:
    table = tables(paper, picture.channels, picture.sfreq_hz, picture.samples)
    numbers = dict(
        spread=table.spread, cells_per_px=CELLS_PER_PX, pitch_px=paper.pitch_px,
        pen_px=paper.pen_px, px_per_mv=paper.px_per_mv,
    )  # fmt: skip
    return {k: np.asarray(v) for k, v in numbers.items()} | dict(
        inside=table.inside,
        edge=table.edge,
        part=table.part,
        drawn=table.drawn,
        zero_px=paper.zero_px,
        reach_px=paper.reach_px,
        background=background(paper),
        marks=mark_rows(paper),
        trace=np.asarray(TRACE, np.float32),
        clipped=np.asarray(CLIPPED, np.float32),
    )


def _stacked(picture: EcgPicture) -> dict[str, np.ndarray]:
    rows, columns = picture.image_size
    return dict(
        rows=np.asarray(rows_of(picture.channels, WANTED_ORDER)),
        down=_resizing(len(WANTED_ORDER), rows, picture.resample),
        across=_resizing(picture.samples, columns, picture.resample),
    )


def _resizing(old: int, new: int, resample: str) -> Float[np.ndarray, "n o"]:
    """What each of the old pixels of an axis counts for in each of the new."""
    unit = np.eye(old, dtype=np.float32)
    return np.asarray(jax.image.resize(unit, (new, old), METHODS[resample]))


# -- the tower, for Hugging Face ------------------------------------------------------------------


def write_tower(
    parts: ModelParts,
    directory: epath.PathLike,
    *,
    leave_out: Sequence[str] = (),
    overwrite: bool = False,
) -> LoadReport:
    """Writes the image tower as a Hugging Face directory that transformers opens.

    Everything else of the model goes: what it draws, its projectors, its texts.

    Raises:
      ConvertError: a model without an image tower, or what was written reads back differently.
      FileExistsError: ``directory`` is something else, or ``overwrite`` was not said.
      ValueError: ``leave_out``, which means nothing here.
    """
    from elm_jax.convert.folder import as_numpy, replacing

    if leave_out:
        raise ValueError("--leave_out means nothing for --to hf_tower: the tower alone is written")
    if (name := parts.recipe["encoder"].get("name")) != NAME:
        raise ConvertError(f"{parts.source}: encoder {name!r} has no image tower; {NAME!r} has")
    target, parts = paths.absolute(directory), as_numpy(parts)
    encoder = network.build_network(parts.recipe, parts.spec).encoder
    pixels = Pixels(encoder.pixel_mean, encoder.pixel_std, encoder.picture.resample)
    variables = {"params": parts.params["encoder"]["tower"]}
    with replacing(target, ours=is_tower(target), overwrite=overwrite) as unique:
        vit.save_vit(unique, encoder.sizes, variables, pixels)
        loaded = vit.load_vit(unique, pooling=encoder.sizes.pooling)
    before, after = engine.flatten(variables), engine.flatten(loaded.variables)
    same = before.keys() == after.keys() and all(
        np.array_equal(before[name], after[name]) for name in before
    )
    if not same:
        raise ConvertError(f"{directory}: the tower reads back differently")
    loaded.report.source = parts.source
    return loaded.report


def is_tower(path: epath.Path) -> bool:
    """Whether a folder is a Hugging Face directory of an image tower."""
    local = paths.of(path) / "config.json"
    try:
        with paths.told():
            if not local.is_file():
                return False
            return vit.names_tower(local.read_text(encoding="utf-8"))
    except paths.RemoteMissing:
        return False


def refuse_tower(path: epath.Path) -> ModelParts:
    """Raises: an image tower alone reads no signals.

    Raises:
      ValueError: says where it goes.
    """
    raise ValueError(
        f"{path} is an image tower of Hugging Face: it reads images, and says nothing of signals. "
        "Begin a training with it: --config.encoder.tower.weights=FOLDER in configs/ecg_clip.py, "
        "ecg_siglip.py or ecg_vit.py"
    )
