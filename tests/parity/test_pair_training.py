"""Training steps of relative positioning are PyTorch's: braindecode's encoder, twice, and Adam."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from braindecode_reference import import_braindecode
from sleep_variables import linear, variables_of

from configs import relpos_sleep
from elm_jax.data.spec import SignalSpec
from elm_jax.networks import build_objective
from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength
from elm_jax.state import TrainState
from elm_jax.step import make_step

STEPS, ROWS, CHANNELS, SAMPLES, WIDTH = 3, 8, 2, 200, 6
SPEC = SignalSpec(
    modality="eeg",
    channels=("Fpz-Cz", "Pz-Oz"),
    montage="derivations",
    sfreq_hz=100.0,
    window_s=SAMPLES / 100,
    highpass_hz=0.0,
    lowpass_hz=30.0,
    resample="polyphase",
    unit="uV",
    clip=1000.0,
    scale=1.0,
    mean=0.0,
    std=1.0,
)


def batches():
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        pair = rng.normal(size=(2, ROWS, CHANNELS, SAMPLES))
        yield pair, rng.integers(0, 2, ROWS).astype(bool)


def state_of(model):
    state = {k: v.detach().numpy().copy() for k, v in model.state_dict().items()}
    params, stats = variables_of({k[4:]: v for k, v in state.items() if k.startswith("emb.")})
    params = {"encoder": params, "classifier": {"out": linear(state, "clf.1.")}}
    return params, {"batch_stats": {"encoder": stats}}


@pytest.fixture(scope="module")
def theirs():
    torch = pytest.importorskip("torch")
    from siamese_twin import Siamese

    models = import_braindecode("models.sleep_stager_chambon_2018")
    torch.manual_seed(0)
    encoder = models.SleepStagerChambon2018(
        CHANNELS, 100, n_outputs=WIDTH, n_conv_chs=3, n_times=SAMPLES, drop_prob=0.0,
        apply_batch_norm=True,
    )  # fmt: skip
    model = Siamese(encoder, WIDTH).double()
    first, found = state_of(model), []
    optimizer = torch.optim.Adam(model.parameters(), lr=5e-3)
    criterion = torch.nn.BCEWithLogitsLoss()
    model.train()
    for (a, b), near in batches():
        optimizer.zero_grad()
        logits = model(torch.tensor(a), torch.tensor(b))
        loss = criterion(logits, torch.tensor(near, dtype=torch.float64))
        loss.backward()
        optimizer.step()
        share = ((logits > 0).numpy() == near).mean()
        found.append((loss.item(), share, *state_of(model)))
    return first, found


def config_of():
    config = relpos_sleep.get_config().unlock()
    config.encoder.filters, config.encoder.outputs = 3, WIDTH
    config.objective.dropout = 0.0
    return config


def test_the_recipe_s_steps_are_those_of_the_example(theirs):
    # Twice as exact as training: Adam divides a gradient by its own size, and where BatchNorm takes
    # a bias away again that gradient is rounding alone.
    first, expected = theirs
    with jax.enable_x64(True):
        config = config_of()
        objective = build_objective(config, SPEC, None)
        parts = {k: getattr(objective, k).clone(dtype=None) for k in ("encoder", "classifier")}
        objective = dataclasses.replace(objective, **parts)
        (params, model_state) = jax.tree.map(jnp.asarray, first)
        optimizer = make_optimizer(config.optimizer.to_dict(), params, RunLength(75, 3, ROWS))
        state = TrainState(jnp.zeros((), jnp.int32), params, model_state, optimizer.tx.init(params))
        step = make_step(objective, optimizer, lambda batch: batch, seed=0)
        for ((a, b), near), (loss, share, params, stats) in zip(batches(), expected, strict=True):
            batch = {"signal_a": a, "signal_b": b, "signal_valid": np.ones(ROWS, bool)}
            state, measures = step(state, batch | {"near": near})
            assert float(measures["loss"]) == pytest.approx(loss, abs=1e-9)
            assert float(measures["accuracy"]) == pytest.approx(share)
            found = jax.tree_util.tree_leaves_with_path((state.params, dict(state.model_state)))
            wanted = jax.tree_util.tree_leaves_with_path((params, stats))
            assert [path for path, _ in found] == [path for path, _ in wanted]
            for (path, x), (_, y) in zip(found, wanted, strict=True):
                np.testing.assert_allclose(x, y, atol=1e-5, rtol=0, err_msg=str(path))
