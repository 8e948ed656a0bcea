import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tiny_shards import tiny_spec

from data_prep.parts import Recipe, load_parts, make_part
from data_prep.storage import Stored, cut_long, exact_sums, plan_shards, quantise
from data_prep.write_shards import InMemory, write_dataset

SPEC = tiny_spec()


@given(st.lists(st.floats(-1023, 1023, width=32), min_size=1, max_size=50))
def test_storage_errs_by_half_a_step_at_most(values):
    stored, overflow = quantise(np.array([values], np.float32), 32)
    assert overflow == 0
    assert np.abs(stored / 32 - np.array([values], np.float32)).max() <= 1 / 64


def test_values_beyond_the_range_are_counted_never_wrapped():
    stored, overflow = quantise(np.array([[1e6, -1e6, 1023.9, -1024, 1024]], np.float32), 32)
    assert overflow == 3
    assert stored.tolist() == [[32767, -32768, 32765, -32768, 32767]]


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_values_that_are_no_numbers_are_an_error(value):
    with pytest.raises(ValueError, match="not finite"):
        quantise(np.array([[0, value]], np.float32), 32)


@given(st.integers(500, 400_000), st.sampled_from([5.0, 7.0, 60.0, 599.0, 601.0]))
def test_long_pieces_are_cut_into_whole_windows_that_cover_them(n, window_s):
    spec = tiny_spec(window_s)
    cuts = cut_long(n, spec)
    assert cuts[0].start == 0 and cuts[-1].stop == n
    for a, b in zip(cuts, cuts[1:], strict=False):
        assert a.stop == b.start and (a.stop - a.start) % spec.window_samples == 0
    if n >= spec.window_samples:
        windows = sum((c.stop - c.start) // spec.window_samples for c in cuts)
        assert windows == n // spec.window_samples


def test_sums_are_exact_at_the_ends_of_the_range():
    signal = np.full((20, 60_000), -32768, np.int16)
    assert exact_sums(signal) == (-32768 * signal.size, 32768**2 * signal.size)


@settings(max_examples=200)
@given(
    st.lists(st.lists(st.integers(500, 60_000), min_size=1, max_size=4), min_size=1, max_size=30),
    st.integers(1, 12),
    st.sampled_from([10_000, 1_000_000, 2**27]),
)
def test_shards_hold_every_piece_once_in_order_and_none_is_empty(lengths, least, size):
    rows = [
        Stored(f"r{i}", f"x:{i}", ("train", "test")[i % 2], (0.0,) * len(n), tuple(n))
        for i, n in enumerate(lengths)
    ]
    shards = plan_shards(rows, SPEC, "elm_x", shard_bytes=size, min_shards=least)
    for split in ("train", "test"):
        own = [s for s in shards if s.split == split]
        pieces = [(r, p) for r, row in enumerate(rows) if row.split == split
                  for p in range(len(row.n_samples))]  # fmt: skip
        assert [item for s in own for item in s.items] == pieces
        assert all(s.items for s in own)
        assert len(own) >= min(least, len(pieces))
        assert [s.file for s in own] == [
            f"elm_x-{split}.array_record-{k:05d}-of-{len(own):05d}" for k in range(len(own))
        ]


def recording(name="r", person="x:a", split="train", value=1.0):
    return InMemory(name, person, split, (np.full((20, 500), value, np.float32),))


def test_one_person_in_two_splits_is_refused(tmp_path):
    two = [recording("a", split="train"), recording("b", split="test")]
    with pytest.raises(ValueError, match="x:a is in both train and test"):
        write_dataset(tmp_path / "o", two, SPEC)


def test_generated_signals_beyond_the_range_are_refused(tmp_path):
    with pytest.raises(ValueError, match="exceed"):
        write_dataset(tmp_path / "o", [recording(value=2000.0)], SPEC)


def test_generated_data_goes_to_an_empty_folder_only(tmp_path):
    (tmp_path / "x").write_text("")
    with pytest.raises(FileExistsError, match="not empty"):
        write_dataset(tmp_path, [recording()], SPEC)


def test_without_a_train_split_nothing_is_measured(tmp_path):
    manifest = write_dataset(tmp_path / "o", [recording(split="test")], SPEC)
    assert (manifest.spec.mean, manifest.spec.std) == (0.0, 1.0)
    assert manifest.statistics["samples"] == 0


class Loud:
    """A corpus whose one piece goes beyond the range."""

    name, rename = "loud", None

    def pieces(self, source, spec, options):
        from elm_jax.signals.pipeline import Judgement, Piece

        signal = np.zeros((20, 700), np.float32)
        signal[3, 5:9] = 1500
        return [Piece(signal, 2.0)], Judgement(source.file, True)


def test_overflow_is_a_defect_and_a_part_is_whole_once_its_json_is_there(tmp_path):
    from data_prep.corpora.base import Source
    from elm_jax.signals.pipeline import PrepOptions

    recipe = Recipe(Loud(), SPEC, PrepOptions(), tmp_path)
    source = Source("r", "x:a", tmp_path / "r.edf", "r.edf")
    key = recipe.key(source)
    part = make_part(recipe, source, key)
    # All of its channels but one are flat, too.
    assert [d["kind"] for d in part.defects] == ["storage_overflow", "no_deviation"]
    assert part.defects[0]["detail"].startswith("4 samples beyond +-1024 uV")
    assert load_parts(tmp_path, [key]) == [part]
    (signal,) = part.signals(tmp_path, 20)
    assert signal.shape == (20, 700) and signal[3, 5] == 32767
    (tmp_path / f"{key}.i16").write_bytes(b"cut off")
    with pytest.raises(ValueError, match="7 bytes, expected"):
        list(part.signals(tmp_path, 20))
    part.delete(tmp_path)
    assert load_parts(tmp_path, [key]) == [None]


def test_a_part_is_found_again_only_for_the_same_file_and_recipe(tmp_path):
    from data_prep.corpora.base import Source
    from elm_jax.signals.pipeline import PrepOptions

    path = tmp_path / "r.edf"
    path.write_text("a")
    source = Source("r", "x:a", path, "r.edf")
    recipe = Recipe(Loud(), SPEC, PrepOptions(), tmp_path)
    keys = {
        recipe.key(source),
        recipe.key(source.replace(extra={"row": 1})),
        Recipe(Loud(), SPEC.replace(window_s=10.0), PrepOptions(), tmp_path).key(source),
        Recipe(Loud(), SPEC, PrepOptions(drop_start_s=0.0), tmp_path).key(source),
    }
    assert recipe.key(source.replace(reports=("x",), person="x:b")) in keys and len(keys) == 4
    path.write_text("ab")
    assert recipe.key(source) not in keys
    json.dumps(sorted(keys))


def test_a_part_with_labels_of_its_pieces_is_found_again_as_it_was(tmp_path):
    import json

    from data_prep.parts import Part

    labels = ({"event": "spsw", "event_class": 0}, {})
    part = Part("key", None, (0.0, 2.5), (500, 500), 3, 4, ({"kind": "k"},), labels)
    assert Part.from_dict(json.loads(json.dumps(part.to_dict()))) == part
