"""Signal2Vec: tokens that stand together have like vectors; drawn, trained and stored exactly."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from elm_jax import signal2vec
from elm_jax.losses.skip_gram import skip_gram
from elm_jax.signal2vec import Settings, VectorError, nearest, thinned, train_vectors

SMALL = Settings(
    width=8, window=2, negatives=4, pairs=30_000, batch_pairs=500, learning_rate=0.02, min_count=1,
    subsample=0.0,
)  # fmt: skip


def two_rooms(seed=0, texts=40):
    """Ids 0 to 4 stand beside each other, and 5 to 9; 10 is nowhere."""
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 5, 30) + 5 * (i % 2) for i in range(texts)]


@pytest.fixture(scope="module")
def trained():
    return train_vectors(two_rooms(), 11, SMALL, seed=0)


def test_tokens_that_stand_together_are_closer_than_any_that_never_do(trained):
    unit = trained.vector[:10] / np.linalg.norm(trained.vector[:10], axis=1, keepdims=True)
    like = unit @ unit.T
    same = np.equal.outer(np.arange(10) // 5, np.arange(10) // 5)
    other = ~np.eye(10, dtype=bool)
    assert like[same & other].min() > like[~same].max() + 0.2
    ids, cosine = nearest(trained, np.arange(10), 4)
    assert (ids // 5 == np.arange(10)[:, None] // 5).all()
    assert (np.diff(cosine, axis=1) <= 0).all()
    assert trained.loss[-1] < trained.loss[0]


def test_a_seed_gives_the_same_bits_and_another_others(trained):
    again = train_vectors(two_rooms(), 11, SMALL, seed=0)
    assert again.vector.tobytes() == trained.vector.tobytes()
    other = train_vectors(two_rooms(), 11, SMALL, seed=1)
    assert not np.array_equal(other.vector, trained.vector)


def test_a_token_that_is_nowhere_has_no_vector_and_no_neighbours(trained):
    assert not trained.vector[10].any() and not trained.trained[10] and trained.count[10] == 0
    with pytest.raises(VectorError, match=r"\[10\] were not trained"):
        nearest(trained, np.asarray([10]), 2)
    with pytest.raises(VectorError, match="10 neighbours of 10 trained"):
        nearest(trained, np.asarray([0]), 10)


def test_the_loss_is_the_paper_s_and_noise_that_is_the_neighbour_counts_for_nothing():
    rng = np.random.default_rng(0)
    center, context = rng.normal(size=(2, 3, 4)).astype(np.float32)
    noise = rng.normal(size=(3, 5, 4)).astype(np.float32)
    keep = rng.random((3, 5)) < 0.6

    def log_sigmoid(x):
        return -np.log1p(np.exp(-x.astype(np.float64)))

    near = log_sigmoid((center * context).sum(-1))
    far = np.where(keep, log_sigmoid(-(center[:, None] * noise).sum(-1)), 0).sum(-1)
    found = skip_gram(*map(jnp.asarray, (center, context, noise, keep)))
    assert np.allclose(found, -near - far, atol=1e-6)


def test_neighbours_lie_within_the_window_and_the_text_and_every_one_is_drawn():
    texts = [np.arange(10), np.arange(10, 13), np.arange(13, 15)]  # ids name their places
    settings = Settings(**vars(SMALL) | {"window": 3, "batch_pairs": 20_000})
    ready, _ = signal2vec._on_device(texts, 15, settings)
    center, beside, noise = map(
        np.asarray, signal2vec.draw_pairs(jax.random.key(0), ready, settings)
    )
    assert (center != beside).all() and np.abs(center - beside).max() == 3
    text = np.repeat([0, 1, 2], [10, 3, 2])
    assert np.array_equal(text[center], text[beside])
    pairs = set(zip(center.tolist(), beside.tolist(), strict=True))
    wanted = {
        (i, j) for i in range(15) for j in range(15)
        if i != j and abs(i - j) <= 3 and text[i] == text[j]
    }  # fmt: skip
    assert pairs == wanted
    assert np.bincount(center, minlength=15) == pytest.approx(20_000 / 15, rel=0.15)
    # In the middle: widths of 1, 2 and 3 with 1/3 each, and a neighbour of each uniformly.
    distance = np.abs(beside - center)[center == 5]
    shares = np.bincount(distance, minlength=4)[1:] / len(distance)
    assert shares == pytest.approx([11 / 18, 5 / 18, 2 / 18], abs=0.05)
    assert 0 <= noise.min() and noise.max() <= 14


def test_noise_is_drawn_by_frequency_to_the_power():
    texts = [np.repeat([0, 1, 2], [1000, 100, 10])]
    settings = Settings(**vars(SMALL) | {"batch_pairs": 20_000, "noise_power": 0.5})
    ready, _ = signal2vec._on_device(texts, 5, settings)
    _, _, noise = signal2vec.draw_pairs(jax.random.key(1), ready, settings)
    wanted = np.sqrt([1000, 100, 10])
    shares = np.bincount(np.asarray(noise).ravel(), minlength=5) / noise.size
    assert shares[:3] == pytest.approx(wanted / wanted.sum(), abs=0.01)
    assert not shares[3:].any()


def test_rare_tokens_leave_the_texts_and_frequent_ones_are_thinned():
    texts = [np.asarray([0] * 1000 + [1] * 10 + [2]), np.asarray([2, 2])]
    count = np.bincount(np.concatenate(texts), minlength=4)
    settings = Settings(**vars(SMALL) | {"min_count": 5, "subsample": 0.01})
    kept = thinned(texts, count, settings, seed=0)
    assert len(kept) == 1 and 2 not in kept[0]
    left = np.bincount(kept[0])
    share = 0.01 / (1000 / 1010)
    assert left[0] / 1000 == pytest.approx(np.sqrt(share) + share, abs=0.04)
    assert left[1] == 10


@pytest.mark.parametrize(
    ("texts", "changes", "expected"),
    [
        ([np.asarray([1]), np.asarray([2])], {}, "no text of two tokens"),
        ([np.asarray([1, 2])], {"min_count": 2}, r"lower min_count \(2\)"),
        ([np.asarray([1, 11])], {}, "ids reach from 1 to 11 of 11"),
        ([], {}, "no text of two tokens"),
    ],
)
def test_texts_that_teach_nothing_are_refused(texts, changes, expected):
    with pytest.raises(VectorError, match=expected):
        train_vectors(texts, 11, Settings(**vars(SMALL) | changes))


@pytest.mark.parametrize("name", ["width", "window", "pairs", "learning_rate"])
def test_impossible_settings_are_refused(name):
    with pytest.raises(VectorError, match=f"{name} is 0"):
        Settings(**{name: 0})


def test_vectors_come_back_from_their_file_with_what_was_said(trained, tmp_path):
    signal2vec.save(tmp_path / "v.npz", trained, {"seed": 0})
    loaded, meta = signal2vec.load(tmp_path / "v.npz")
    assert meta == {"seed": 0}
    for name, value in trained._asdict().items():
        assert np.array_equal(getattr(loaded, name), value), name
    np.savez(tmp_path / "other.npz", vector=trained.vector)
    with pytest.raises(VectorError, match="other.npz: holds"):
        signal2vec.load(tmp_path / "other.npz")
    (tmp_path / "text.npz").write_text("no arrays")
    with pytest.raises(VectorError, match="text.npz: no .npz, or cut short"):
        signal2vec.load(tmp_path / "text.npz")
