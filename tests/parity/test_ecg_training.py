"""Training steps of MERL are PyTorch's: loss, running statistics and parameters, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax.convert import ecg_file, network
from elm_jax.convert.engine import flatten
from elm_jax.optim import make_optimizer
from elm_jax.schedules import RunLength
from elm_jax.state import TrainState
from elm_jax.step import make_step

STEPS, ROWS, LEADS, SAMPLES, TEXT = 3, 6, 3, 41, 5
SETTINGS = dict(channels=["I", "II", "V1"], n_times=SAMPLES, sfreq=100.0, heads=2)
ADAMW = dict(name="adamw", rate=1e-2, weight_decay=0.1, eps=1e-8)


def batches():
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        yield rng.normal(size=(ROWS, LEADS, SAMPLES)), rng.normal(size=(ROWS, TEXT))


def parts_of(twin):
    state = {name: np.float32(value) for name, value in twin.published().items()}
    counters = [name for name in state if name.endswith("num_batches_tracked")]
    state |= {name: state[name].astype(np.int64) for name in counters}
    return ecg_file.from_state(state, SETTINGS, source="the twin")


@pytest.fixture(scope="module", params=[18, 50], ids=["basic", "bottleneck"])
def theirs(request):
    torch = pytest.importorskip("torch")
    from merl_twin import Merl

    torch.manual_seed(0)
    encoder = dict(depth=request.param, blocks=(1, 2), width=4)
    twin = Merl(LEADS, SAMPLES, encoder, width=8, text_width=TEXT, heads=2).double()
    first, found = parts_of(twin), []
    decayed = [p for p in twin.parameters() if p.ndim > 1 and p.shape[:2] != (1, 1)]
    others = [p for p in twin.parameters() if p.ndim == 1 or p.shape[:2] == (1, 1)]
    optimizer = torch.optim.AdamW(
        [dict(params=decayed), dict(params=others, weight_decay=0.0)], lr=1e-2, weight_decay=0.1
    )
    twin.train()
    for signal, text in batches():
        optimizer.zero_grad()
        loss = twin(torch.tensor(signal), torch.tensor(text))
        loss.backward()
        optimizer.step()
        found.append(loss.item())
    return first, found, parts_of(twin)


def test_three_steps_are_pytorchs(theirs):
    first, expected, last = theirs
    first.recipe["objective"]["signal_head"]["dropout"] = 0.0
    with jax.enable_x64(True):
        wide = lambda tree: jax.tree.map(lambda x: jnp.asarray(x, jnp.float64), tree)  # noqa: E731
        objective = network.build_network(first.recipe, first.spec)
        params, model_state = wide(first.params), wide(first.model_state)
        schedule = dict(kind="constant", warmup_steps=0, total_steps=STEPS, per="step")
        settings = ADAMW | dict(schedule=schedule)
        optimizer = make_optimizer(settings, params, RunLength(STEPS, STEPS, ROWS))
        state = TrainState(jnp.zeros((), int), params, model_state, optimizer.tx.init(params))
        step = make_step(objective, optimizer, lambda b: b, seed=0)
        own, valid = jnp.arange(ROWS), jnp.ones(ROWS, bool)
        shared = dict(signal_bag=own, text_bag=own, signal_valid=valid, text_valid=valid)
        losses = []
        for signal, text in batches():
            batch = dict(signal=jnp.asarray(signal), text_emb=jnp.asarray(text)) | shared
            state, measures = step(state, batch)
            losses.append(float(measures["loss"]))
    np.testing.assert_allclose(losses, expected, rtol=1e-5)  # weights went over in float32
    stats, wanted_stats = state.model_state["batch_stats"], last.model_state["batch_stats"]
    for found, wanted in ((state.params, last.params), (stats, wanted_stats)):
        found, wanted = flatten(found), flatten(wanted)
        assert set(found) == set(wanted)
        for path, value in wanted.items():
            if path.endswith("key/bias"):  # has no gradient but rounding, which Adam scales up
                continue
            np.testing.assert_allclose(found[path], value, atol=2e-4, err_msg=path)
