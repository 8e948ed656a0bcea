"""Damaged windows: what is taken away is really gone, noise has the power asked for."""

import dataclasses

import numpy as np
import pytest
from tiny_shards import make_signal, tiny_spec

from data_prep.write_shards import InMemory, write_dataset
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader
from elm_jax.evals.band_power import band_power
from elm_jax.evals.base import EvalData, ModelInfo
from elm_jax.evals.robustness import Robustness

CHANNELS = ("Fp1", "Fp2", "C3", "Cz", "C4", "T3", "O1", "O2", "Pz", "Fz")
LABELS = {"name": "abnormal", "kind": "binary"}


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    directory = tmp_path_factory.mktemp("robustness") / "shards"
    spec = tiny_spec().replace(channels=CHANNELS, montage="electrodes")
    rng = np.random.default_rng(0)
    recordings = [
        InMemory(
            recording=f"rec{i}",
            person=f"x:{i}",
            split="train" if i < 6 else "test",
            pieces=(make_signal(rng, 20.0, abnormal=bool(i % 2))[: len(CHANNELS)],),
            reports=(),
            labels={"abnormal": i % 2},
        )
        for i in range(10)
    ]
    write_dataset(directory, recordings, spec, corpus="tiny", simulated=True)
    return directory


def data_of(directory, **about):
    readers = {s: ShardReader(directory, s) for s in ("train", "test")}
    windows = {s: Windows.of(r.recordings, 500) for s, r in readers.items()}
    more = dict(rows_per_batch=3, model=ModelInfo(**about))
    manifest = readers["test"].manifest
    return EvalData(manifest, readers.__getitem__, windows.__getitem__, None, **more)


class Watching:
    """Sees how slow a window is, and remembers what it was shown."""

    def __init__(self):
        self.batches = []

    def __call__(self, batch):
        self.batches.append(batch)
        power = band_power(batch["signal"] / 32.0, 100.0)
        power = power.reshape(len(batch["signal"]), -1, batch["signal"].shape[1]).mean(-1)
        return {"features": power.astype(np.float32)}


def robustness(**settings):
    return Robustness(LABELS, **dict(missing=(0.5, 0.8), noise_db=(20.0, -5.0)) | settings)


def row(result, damage, level):
    (found,) = (
        r for r in result.tables["robustness"] if (r["damage"], r["level"]) == (damage, level)
    )
    return found


def test_a_model_that_reads_names_is_given_fewer_channels_and_their_numbers(shards):
    seen = Watching()
    result = robustness(noise_db=())(seen, data_of(shards, by_name=True))
    shown = {b["signal"].shape[1] for b in seen.batches}
    assert shown == {10, 5, 2}
    for batch in seen.batches:
        if "channel_id" in batch:
            assert batch["channel_id"].shape == batch["signal"].shape[:2]
            assert len(set(batch["channel_id"][0])) == batch["signal"].shape[1]
    assert row(result, "missing", 0.8)["auroc"] > 0.9  # every channel shows the same slowing


def test_any_other_model_is_given_zeros_in_their_place(shards):
    seen = Watching()
    robustness(noise_db=(), repeats=1)(seen, data_of(shards))
    silent = {int((b["signal"][0] == 0).all(-1).sum()) for b in seen.batches}
    assert silent == {0, 5, 8} and all("channel_id" not in b for b in seen.batches)


@pytest.mark.parametrize("ratio_db", [20.0, 0.0, -5.0])
def test_noise_has_the_power_that_was_asked_for_and_is_the_same_again(shards, ratio_db):
    data = data_of(shards)
    batch = next(iter(data.batches("test")))
    noisy, bounded = robustness()._noisy(batch, ratio_db, 0)
    again, _ = robustness()._noisy(batch, ratio_db, 0)
    added = noisy["signal"].astype(float) - batch["signal"]
    power = batch["signal"].astype(float).var(-1) / added.var(-1)
    assert not bounded and noisy["signal"].dtype == np.int16
    np.testing.assert_allclose(10 * np.log10(power), ratio_db, atol=0.6)
    np.testing.assert_array_equal(noisy["signal"], again["signal"])


def test_a_clean_window_is_like_itself_and_ever_more_noise_is_ever_less_like_it(shards):
    result = robustness(noise_db=(20.0, 0.0, -5.0))(Watching(), data_of(shards))
    assert row(result, "none", 0.0)["similarity"] == pytest.approx(1.0, abs=1e-6)
    likeness = [row(result, "noise", db)["similarity_centred"] for db in (20.0, 0.0, -5.0)]
    assert likeness == sorted(likeness, reverse=True)
    assert row(result, "missing", 0.5)["repeats"] == 3
    assert set(result.figures) == {"robustness"}
    assert {"none/auroc", "missing/auroc", "noise/similarity_centred"} <= set(result.scalars)


def test_impossible_settings_are_refused():
    for wrong in (dict(missing=(1.0,)), dict(repeats=0), dict(c=0.0)):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            robustness(**wrong)
    with pytest.raises(ValueError, match="regression"):
        dataclasses.replace(robustness(), labels={"name": "age", "kind": "regression"})
