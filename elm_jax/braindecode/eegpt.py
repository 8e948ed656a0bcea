"""braindecode's face of EEGPT over this project's network, for code that was written for it.

    model = EEGPT(n_chans=22, n_times=1024, sfreq=256, n_outputs=4)
    params = model.init(jax.random.key(0))
    logits = model(params, x)                                 # x: millivolts [b, 22, 1024]
    tokens = model(params, x, return_features=True)["features"]

Arguments, their inference from one another and what comes out are those of
``braindecode.models.EEGPT`` 1.8; the weights are a value beside the model and not in it, so what
changes a module there gives a new model here. Parameters have the names of a ``classify`` run's
(``adapter``, ``encoder``, ``classifier``), and :mod:`elm_jax.convert` turns them into braindecode's
and back. For training, prepared data and checkpoints use ``configs/eegpt_*.py``.

Two things are refused that braindecode guesses with a warning: electrodes that the dictionary lacks
(it gives them another electrode's vector), and no electrode names at all (it numbers them through).
"""

import copy
import dataclasses
import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.errors
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from elm_jax.axes import Array, Float, Key, Params
from elm_jax.braindecode.base import SignalModel
from elm_jax.channels import DICTIONARY, channel_ids
from elm_jax.convert import braindecode_folder
from elm_jax.convert.braindecode_config import PROJECTIONS
from elm_jax.models.adapters import TEN_TWENTY, ChannelProjection
from elm_jax.models.eeg_transformer import EegTransformer
from elm_jax.models.heads import TwoStageHead
from elm_jax.sources import read_parts

PATCH_MODULES = {"plain": False, "normed": True, "braindecode.models.eegpt._PatchEmbed": False}
# Arguments that must be one or more, where they are given.
_COUNTS = (
    "n_outputs", "n_chans", "n_times", "patch_size", "patch_stride", "embed_num", "embed_dim",
    "num_heads",
)  # fmt: skip


class EEGPT(SignalModel):
    """``braindecode.models.EEGPT``: adapter of channels, encoder, probe.

    Args:
      n_outputs: see :class:`SignalFacts`, as the five after it.
      n_chans: likewise.
      chs_info: likewise.
      n_times: likewise.
      input_window_seconds: likewise.
      sfreq: likewise.
      patch_size: samples a patch.
      patch_stride: samples from one patch to the next; None: ``patch_size``. A window that does
        not end with a patch gets zeros behind it.
      embed_num: summary tokens.
      embed_dim: width of the tokens.
      depth: transformer blocks.
      num_heads: attention heads.
      mlp_ratio: hidden width of the MLPs over ``embed_dim``.
      drop_prob: dropout rate.
      attn_drop_rate: rate on attention weights.
      drop_path_rate: rate of the last block; it grows linearly from 0.
      init_std: deviation of initial values.
      qkv_bias: whether query, key and value have a bias.
      patch_module: None or "plain"; "normed": each patch is normalised first.
      norm_layer: makes the encoder's norms: called with ``name=...``, gives a linen module;
        None: layer norm.
      layer_norm_eps: added to the layer norms' variance.
      return_encoder_output: give the encoder's tokens; there is no probe then.
      chan_proj_type: "conv1d_constraint", "linear" (both to the 19 electrodes of the 10-20
        system) or "none", which needs ``chs_info``: the encoder reads channels by name.
      n_chans_target: 19 wherever channels are projected. (braindecode takes another number and
        fails when it is called.)
      chan_conv_max_norm: of each output channel's weights ("conv1d_constraint").
      final_layer: makes a linen module on the flattened tokens instead of the probe.

    Raises:
      ValueError: facts that are missing or contradict each other, unknown words, a window shorter
        than a patch.
      UnknownChannels: electrodes that the dictionary lacks.
    """

    _code = ("norm_layer", "final_layer")

    def __init__(
        self,
        n_outputs: int | None = None,
        n_chans: int | None = None,
        chs_info: Sequence[Mapping[str, Any]] | None = None,
        n_times: int | None = None,
        input_window_seconds: float | None = None,
        sfreq: float | None = None,
        patch_size: int = 64,
        patch_stride: int | None = 32,
        embed_num: int = 4,
        embed_dim: int = 512,
        depth: int = 8,
        num_heads: int = 8,
        mlp_ratio: float = 4.0,
        drop_prob: float = 0.0,
        attn_drop_rate: float = 0.0,
        drop_path_rate: float = 0.0,
        init_std: float = 0.02,
        qkv_bias: bool = True,
        patch_module: str | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        layer_norm_eps: float = 1e-6,
        return_encoder_output: bool = False,
        chan_proj_type: str = "conv1d_constraint",
        n_chans_target: int = 19,
        chan_conv_max_norm: float = 1.0,
        final_layer: Callable[[], nn.Module] | None = None,
    ):
        self._take(locals())
        self.patch_size, self.patch_stride = patch_size, patch_stride
        self.embed_num, self.embed_dim = embed_num, embed_dim
        self.return_encoder_output = return_encoder_output
        self._check()
        projects = chan_proj_type != "none"
        names = TEN_TWENTY if projects else self._names()
        self._modules: dict[str, nn.Module] = {}
        if projects:
            limit = chan_conv_max_norm if chan_proj_type == "conv1d_constraint" else None
            self._modules["adapter"] = ChannelProjection(tuple(names), max_norm=limit)
        self._modules["encoder"] = EegTransformer(
            channels=tuple(names), width=embed_dim, depth=depth, heads=num_heads,
            summary_tokens=embed_num, patch_size=patch_size, patch_stride=patch_stride,
            patch_norm=PATCH_MODULES[patch_module or "plain"], pad_window=True,
            mlp_ratio=mlp_ratio, dropout=drop_prob, attention_dropout=attn_drop_rate,
            drop_path=drop_path_rate, init_std=init_std, qkv_bias=qkv_bias,
            norm_eps=layer_norm_eps, norm_layer=norm_layer,
            dictionary_size=max(len(DICTIONARY), len(names)),
        )  # fmt: skip
        if final_layer is not None:
            self._modules["classifier"] = final_layer()
        elif not return_encoder_output:
            self._modules["classifier"] = TwoStageHead(self.n_outputs)
        #: Names of the channels that the encoder sees.
        self.channel_names = tuple(names)

    def _check(self) -> None:
        given = self._given
        self._require_counts(_COUNTS)
        if given["chan_proj_type"] not in PROJECTIONS:
            raise ValueError(
                f"chan_proj_type is {given['chan_proj_type']!r}; known: {list(PROJECTIONS)}"
            )
        if (given["patch_module"] or "plain") not in PATCH_MODULES:
            raise ValueError(
                f"patch_module is {given['patch_module']!r}; known: {list(PATCH_MODULES)}"
            )
        if given["final_layer"] is not None and self.return_encoder_output:
            raise ValueError("return_encoder_output leaves no place for a final_layer: drop one")
        projects = given["chan_proj_type"] != "none"
        if projects and given["n_chans_target"] != len(TEN_TWENTY):
            raise ValueError(
                f"n_chans_target is {given['n_chans_target']}; projected channels stand for the "
                f"{len(TEN_TWENTY)} electrodes of the 10-20 system"
            )
        if self.n_times < self.patch_size:
            raise ValueError(f"n_times {self.n_times} is less than patch_size {self.patch_size}")
        self.n_chans  # noqa: B018  (raises where it is not known)

    def _names(self) -> tuple[str, ...]:
        """The electrodes, all of the dictionary."""
        if self._facts.chs_info is None:
            raise ValueError(
                "chan_proj_type='none' needs the electrodes' names in chs_info, such as "
                f"[{{'ch_name': 'C3'}}, ...]; the dictionary has {', '.join(DICTIONARY)}"
            )
        names = tuple(ch["ch_name"] for ch in self._facts.chs_info)
        channel_ids(names)
        return names

    @classmethod
    def from_pretrained(
        cls, path_or_hub_id: epath.PathLike, *, n_outputs: int | None = None
    ) -> tuple["EEGPT", Params]:
        """A saved model and its parameters; see :func:`elm_jax.load_pretrained` for what it takes.

        Every tensor of the source must have its place. Another number of classes than is stored
        gives a fresh head, as in braindecode. Of a masked pretraining the momentum twin comes.

        Args:
          path_or_hub_id: a folder that braindecode saved, ``"braindecode/eegpt-pretrained"``, a
            workdir, ...
          n_outputs: classes wanted; None: those that are stored.

        Raises:
          FileNotFoundError, UnreadableWeights: there is no such model, or it is broken.
          ConvertError: its tensors are not what its config says, or it has more than this class.
        """
        parts = read_parts(path_or_hub_id, n_outputs=n_outputs)
        braindecode_folder.require_class(parts)
        encoder = parts.model_state.get("target", {}).get("encoder", parts.params["encoder"])
        own = ("adapter", "classifier")
        params = {name: parts.params[name] for name in own if name in parts.params}
        # Normed patches, for which braindecode's own config needs a class, have a word here.
        recipe = copy.deepcopy(parts.recipe)
        normed = recipe["encoder"].pop("patch_norm", False)
        config = braindecode_folder.config_of(dataclasses.replace(parts, recipe=recipe))
        config["patch_module"] = "normed" if normed else None
        return cls(**config), params | {"encoder": encoder}

    # -- sizes of tokens ------------------------------------------------------------------------

    @property
    def n_patches(self) -> int:
        """Time patches, the last of which may end with zeros."""
        stride = self.patch_stride or self.patch_size
        return math.ceil((self.n_times - self.patch_size) / stride) + 1

    @property
    def flattened_encoder_output_dim(self) -> int:
        """Numbers that the encoder makes of a window."""
        return self.n_patches * self.embed_num * self.embed_dim

    # -- the network ----------------------------------------------------------------------------

    def init(self, key: Key) -> Params:
        """Fresh parameters: ``{"adapter"?, "encoder", "classifier"?}``."""
        params, x = {}, jnp.zeros(self.input_shape)
        keys = jax.random.split(key, len(self._modules))
        for (name, module), own in zip(self._modules.items(), keys, strict=True):
            rngs = {"params": own, "dropout": own}
            out, variables = module.init_with_output(rngs, x, **_mode(module, train=False))
            params[name] = variables.get("params", {})
            x = self._between(name, out)
        return params

    def __call__(
        self,
        params: Params,
        x: Float[Array, "b c t"] | Float[np.ndarray, "b c t"],
        *,
        return_features: bool = False,
        train: bool = False,
        key: Key | None = None,
    ) -> Array | dict[str, Array | None]:
        """What braindecode's ``forward`` gives.

        Args:
          params: of :meth:`init`, or of a checkpoint.
          x: millivolts.
          return_features: give ``{"features": tokens [b, n, s * d], "cls_token": None}``.
          train: with dropout and drop-path.
          key: of these; needed by ``train`` where a rate is not 0, as the probe's is.

        Returns:
          logits ``[b, k]``; with ``return_encoder_output`` the tokens ``[b, n, s, d]``.

        Raises:
          ValueError: a signal of another shape, or ``train`` without the ``key`` that it needs.
        """
        if x.ndim != 3 or x.shape[1:] != self.input_shape[1:]:
            raise ValueError(f"expected a signal [b, {self.n_chans}, {self.n_times}]: {x.shape}")
        x, tokens = jnp.asarray(x), None
        params = jax.tree.map(jnp.asarray, dict(params))  # those of a file are numpy's
        for i, (name, module) in enumerate(self._modules.items()):
            if name == "classifier" and return_features:
                break
            rngs = None if key is None else {"dropout": jax.random.fold_in(key, i)}
            mode = _mode(module, train=train)
            try:
                out = module.apply({"params": params.get(name, {})}, x, rngs=rngs, **mode)
            except flax.errors.InvalidRngError as error:
                raise ValueError("dropout while training is drawn: give key=...") from error
            x = self._between(name, out)
            tokens = x if name == "encoder" else tokens
        if return_features:
            return {"features": tokens.reshape(len(x), self.n_patches, -1), "cls_token": None}
        if self.return_encoder_output:
            return tokens.reshape(len(x), self.n_patches, self.embed_num, self.embed_dim)
        return x

    def _between(self, name: str, out: Any) -> Array:
        """What the next module reads: a final layer of the user's own takes flat tokens."""
        if name != "encoder":
            return out
        own = self._given["final_layer"] is not None
        return out.tokens.reshape(len(out.tokens), -1) if own else out.tokens

    def get_output_shape(self) -> tuple[int, ...]:
        """Shape of what comes out for one window; nothing is computed."""

        def run(key):
            return self(self.init(key), jnp.zeros(self.input_shape))

        return jax.eval_shape(run, jax.random.key(0)).shape

    # -- probe ----------------------------------------------------------------------------------

    def get_probe_params(self) -> dict[str, int]:
        """Sizes that a probe of the tokens needs."""
        return dict(n_patches=self.n_patches, embed_num=self.embed_num, embed_dim=self.embed_dim)

    def reset_head(self, params: Params, n_outputs: int, key: Key) -> tuple["EEGPT", Params]:
        """The model with a fresh probe of other classes, and its parameters.

        Raises:
          ValueError: the model gives tokens, not classes.
        """
        if self.return_encoder_output:
            raise ValueError("return_encoder_output: this model has no head to replace")
        model = EEGPT(**self._given | dict(n_outputs=n_outputs, final_layer=None))
        return model, dict(params) | {"classifier": model.init(key)["classifier"]}


def _mode(module: nn.Module, *, train: bool) -> dict[str, bool]:
    """``train`` for modules of this project; a user's own final layer may not know the word."""
    takes = inspect.signature(type(module).__call__).parameters
    return {"train": train} if "train" in takes else {}
