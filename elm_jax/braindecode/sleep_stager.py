"""braindecode's face of Chambon et al.'s sleep stager over this project's network.

    model = SleepStagerChambon2018(2, 100.0, n_times=3000, n_outputs=5)
    variables = model.init(jax.random.key(0))
    logits = model(variables, x)                              # x: network values [b, 2, 3000]
    logits, variables = model.in_training(variables, x, key=key)     # dropout, BatchNorm moves

Arguments, their inference from one another and what comes out are those of
``braindecode.models.SleepStagerChambon2018`` 1.8; the weights are a value beside the model and not
in it. For training, prepared data and checkpoints use ``configs/relpos_sleep.py``.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import flax.errors
import jax
import jax.numpy as jnp
import numpy as np
from etils import epath

from elm_jax.axes import Array, Float, Key
from elm_jax.braindecode.base import SignalModel
from elm_jax.convert.engine import ConvertError
from elm_jax.convert.sleep_config import activation_of, config_of, dotted_activation
from elm_jax.convert.sleep_folder import from_state, of_class, state_of
from elm_jax.models.sleep_conv import SleepConv
from elm_jax.sources import read_parts

Variables = Mapping[str, Any]  # {"params": ..., "batch_stats": ... with BatchNorm}
_COUNTS = ("n_chans", "n_times", "n_conv_chs")


class SleepStagerChambon2018(SignalModel):
    """``braindecode.models.SleepStagerChambon2018``: a spatial and two temporal convolutions.

    Args:
      n_chans: see :class:`elm_jax.signal_facts.SignalFacts`; with one channel there is no spatial
        convolution.
      sfreq: likewise.
      n_conv_chs: temporal filters of both convolutions.
      time_conv_size_s: their duration.
      max_pool_size_s: of which the largest value stays, after both.
      pad_size_s: of zeros, on both sides, before both.
      activation: a name of :data:`elm_jax.models.activations.ACTIVATIONS`, or PyTorch's class of
        one (``torch.nn.ELU``, or its dotted name), which acts as it does with its defaults.
      input_window_seconds: see n_chans.
      n_outputs: of the last layer: classes, or numbers of an embedding.
      drop_prob: dropout rate before that layer.
      apply_batch_norm: BatchNorm after both temporal convolutions.
      return_feats: give the features; there is no last layer then.
      chs_info: see n_chans.
      n_times: see n_chans.

    Raises:
      ValueError: facts that are missing or contradict each other, an unknown activation, a window
        too short for two convolutions and poolings.
    """

    def __init__(
        self,
        n_chans: int | None = None,
        sfreq: float | None = None,
        n_conv_chs: int = 8,
        time_conv_size_s: float = 0.5,
        max_pool_size_s: float = 0.125,
        pad_size_s: float = 0.25,
        activation: Any = "relu",
        input_window_seconds: float | None = None,
        n_outputs: int | None = 5,
        drop_prob: float = 0.25,
        apply_batch_norm: bool = False,
        return_feats: bool = False,
        chs_info: Sequence[Mapping[str, Any]] | None = None,
        n_times: int | None = None,
    ):
        self._take(locals())
        self._require_counts((*_COUNTS, *(() if return_feats else ("n_outputs",))))
        name = _activation(activation)
        self._given["activation"] = dotted_activation(name)
        self.return_feats = return_feats
        self._module = SleepConv(
            sfreq_hz=float(self.sfreq),
            in_channels=self.n_chans,
            window_samples=self.n_times,
            filters=n_conv_chs,
            kernel_s=time_conv_size_s,
            pool_s=max_pool_size_s,
            pad_s=pad_size_s,
            outputs=None if return_feats else self.n_outputs,
            dropout=drop_prob,
            batch_norm=apply_batch_norm,
            activation=name,
        )
        features = self._module.clone(outputs=None)
        #: Numbers that the last layer reads.
        self.len_last_layer = self._width(features)

    @classmethod
    def from_pretrained(
        cls, path_or_hub_id: epath.PathLike, *, n_outputs: int | None = None
    ) -> tuple["SleepStagerChambon2018", Variables]:
        """A saved model and its variables; see :func:`elm_jax.load_pretrained` for what it takes.

        Every tensor of the source must have its place; a classifier of pairs stays behind.

        Args:
          path_or_hub_id: a folder that braindecode saved, a workdir, ...
          n_outputs: outputs wanted; another number than is stored gives a fresh last layer, as
            :meth:`reset_head` does. (braindecode refuses.)

        Raises:
          FileNotFoundError, UnreadableWeights: there is no such model, or it is broken.
          ConvertError: its tensors are not what its config says, or it has more than this class.
        """
        parts, _ = of_class(read_parts(path_or_hub_id), leave_out=("classifier",))
        if parts.recipe["dtype"] != "float32":
            raise ConvertError(
                f"{parts.source}: computes in {parts.recipe['dtype']}, this class in float32"
            )
        config = config_of(parts)
        # Through their names, so that a classifier of classes is the last layer again.
        found = from_state(state_of(parts), config, source=parts.source)
        variables = {"params": found.params["encoder"]}
        variables |= {k: own["encoder"] for k, own in found.model_state.items() if own}
        model = cls(**config)
        if n_outputs is None or (n_outputs == config["n_outputs"] and not model.return_feats):
            return model, variables
        return model.reset_head(variables, n_outputs, jax.random.key(0))

    # -- the network ----------------------------------------------------------------------------

    def init(self, key: Key) -> Variables:
        """Fresh variables: ``{"params"}``, with BatchNorm also its statistics, ``{"batch_stats"}``.

        PyTorch's layers draw theirs from the same distributions.
        """
        return self._fresh(key)

    def __call__(
        self,
        variables: Variables,
        x: Float[Array, "b ..."] | Float[np.ndarray, "b ..."],
    ) -> Float[Array, "b k"]:
        """What braindecode's ``forward`` gives in evaluation mode.

        Args:
          variables: of :meth:`init`, or of a checkpoint.
          x: network values ``[b, c, t]``, or ``[b, 1, c, t]``.

        Raises:
          ValueError: a signal of another shape.
        """
        return self._evaluate(variables, self._signal(x))

    def in_training(
        self,
        variables: Variables,
        x: Float[Array, "b ..."] | Float[np.ndarray, "b ..."],
        *,
        key: Key | None = None,
    ) -> tuple[Float[Array, "b k"], Variables]:
        """What braindecode's ``forward`` gives in training mode, and what it leaves behind.

        Args:
          variables: see :meth:`__call__`, as ``x``.
          x: likewise.
          key: of dropout; needed where its rate is not 0 and there is a last layer.

        Returns:
          the output, and the variables with BatchNorm's running statistics moved.

        Raises:
          ValueError: a signal of another shape, or no ``key`` where one is needed.
        """
        rngs = None if key is None else {"dropout": key}
        try:
            out, moved = self._train(variables, self._signal(x), rngs)
        except flax.errors.InvalidRngError as error:
            raise ValueError("dropout while training is drawn: give key=...") from error
        return out, dict(variables) | moved

    @functools.cached_property
    def _fresh(self) -> Callable[[Key], dict[str, Any]]:
        @jax.jit
        def draw(key):
            keys = {"params": key, "dropout": key}
            return dict(self._module.init(keys, jnp.zeros(self.input_shape), train=False))

        return draw

    @functools.cached_property
    def _evaluate(self) -> Callable[..., Array]:
        @jax.jit
        def run(variables, x):
            return self._module.apply(variables, x, train=False).pooled

        return run

    @functools.cached_property
    def _train(self) -> Callable[..., tuple[Array, dict[str, Any]]]:
        @jax.jit
        def run(variables, x, rngs):
            out, moved = self._module.apply(
                variables, x, train=True, rngs=rngs, mutable=["batch_stats"]
            )
            return out.pooled, dict(moved)

        return run

    def _signal(self, x: Any) -> Array:
        x = jnp.asarray(x)
        if x.ndim == 4 and x.shape[1] == 1:
            x = x[:, 0]
        if x.ndim != 3 or x.shape[1:] != self.input_shape[1:]:
            raise ValueError(f"expected a signal [b, {self.n_chans}, {self.n_times}]: {x.shape}")
        return x

    def get_output_shape(self) -> tuple[int, ...]:
        """Shape of what comes out for one window; nothing is computed."""
        return 1, self._width(self._module)

    def _width(self, module: SleepConv) -> int:
        def run(key):
            return module.init_with_output(key, jnp.zeros(self.input_shape), train=False)[0].pooled

        return jax.eval_shape(run, jax.random.key(0)).shape[1]

    def reset_head(
        self, variables: Variables, n_outputs: int, key: Key
    ) -> tuple["SleepStagerChambon2018", Variables]:
        """The model with a fresh last layer of other outputs, and its variables.

        (braindecode has no such thing for this class.)
        """
        model = SleepStagerChambon2018(
            **self._given | dict(n_outputs=n_outputs, return_feats=False)
        )
        params = dict(variables["params"]) | {"out": model.init(key)["params"]["out"]}
        return model, dict(variables) | {"params": params}


def _activation(given: Any) -> str:
    """Our name of an activation.

    Raises:
      ValueError: one that we do not have, or something else.
    """
    dotted = f"{given.__module__}.{given.__qualname__}" if isinstance(given, type) else given
    if not isinstance(dotted, str):
        raise ValueError(
            f"activation is {given!r}: expected a name such as 'relu', or PyTorch's class"
        )
    return activation_of(dotted, source=SleepStagerChambon2018.__name__)
