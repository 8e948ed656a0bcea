"""Windows of an epoch: each once, whatever the batch; label budgets by person."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.data.window_sampler import WindowSampler, choose_people

counts = st.lists(st.integers(0, 6), min_size=1, max_size=8).filter(any)


def make(counts, batch=4, limit=0, classes=2, **kwargs):
    recording = np.repeat(np.arange(len(counts)), counts)
    crop = np.concatenate([np.arange(n) for n in counts])
    return WindowSampler(
        recording,
        crop,
        recording % classes,
        recordings=len(counts),
        windows_per_batch=batch,
        windows_per_recording=limit,
        **kwargs,
    )


def epoch_of(sampler, epoch=0):
    """(recording, crop) of an epoch's rows, by batch."""
    steps = sampler.steps_per_epoch(epoch)
    plans = [sampler.plan(epoch * steps + i) for i in range(steps)]
    for plan in plans:
        assert plan.recording.shape == (sampler.rows_per_batch,)
        assert ((plan.recording >= 0) == (plan.crop[:, 0] >= 0)).all()
    return [
        [(r, c) for r, c in zip(p.recording, p.crop[:, 0], strict=True) if r >= 0] for p in plans
    ]


@settings(deadline=None, max_examples=60)
@given(counts, st.integers(1, 5), st.integers(0, 3), st.booleans(), st.integers(0, 2))
def test_every_window_or_n_of_a_recording_once_an_epoch_in_batches_alike(
    counts, batch, limit, shuffle, epoch
):
    batches = epoch_of(make(counts, batch, limit, shuffle=shuffle), epoch)
    rows = [row for rows in batches for row in rows]
    assert len(set(rows)) == len(rows)
    own = np.bincount([r for r, _ in rows], minlength=len(counts))
    np.testing.assert_array_equal(own, np.minimum(counts, limit) if limit else counts)
    sizes = [len(b) for b in batches]
    assert max(sizes) - min(sizes) <= 1 and min(sizes) > 0


@settings(deadline=None, max_examples=30)
@given(counts, st.integers(0, 40), st.sampled_from(["none", "classes"]))
def test_a_plan_is_a_pure_function_of_seed_and_step(counts, step, balance):
    forward = make(counts, balance=balance, seed=3)
    for s in range(0, step, 5):
        forward.plan(s)
    again = make(counts, balance=balance, seed=3).plan(step)
    for a, b in zip(forward.plan(step), again, strict=True):
        np.testing.assert_array_equal(a, b)


def test_balanced_epochs_hold_each_class_as_often_and_rare_windows_in_turn():
    sampler = make([12, 2], batch=7, balance="classes")
    rows = [row for rows in epoch_of(sampler) for row in rows]
    assert [sum(r == k for r, _ in rows) for k in (0, 1)] == [7, 7]
    rare = np.bincount([c for r, c in rows if r == 1])
    assert sorted(rare) == [3, 4]
    common = {row for e in range(4) for b in epoch_of(sampler, e) for row in b if row[0] == 0}
    assert len(common) == 12


def test_unshuffled_epochs_are_in_order_and_alike():
    sampler = make([3, 2], batch=2, shuffle=False)
    assert sum(epoch_of(sampler), []) == [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1)]
    assert epoch_of(sampler) == epoch_of(sampler, 5)


def test_recordings_that_are_drawn_are_named():
    assert make([2, 0, 1]).usable.tolist() == [True, False, True]


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        (dict(batch=0), "windows_per_batch is 0"),
        (dict(limit=-1), "windows_per_recording -1"),
        (dict(balance="class"), "balance is 'class'; known"),
    ],
)
def test_impossible_settings_are_refused(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make([2, 2], **kwargs)


people = st.integers(2, 40)


@settings(deadline=None, max_examples=60)
@given(people, st.integers(1, 3), st.integers(0, 5), st.data())
def test_a_budget_holds_a_person_of_every_class_and_exactly_its_number(n, classes, seed, data):
    names = [f"p{i:02d}" for i in range(n)]
    strata = [str(i % classes) for i in range(n)]
    kinds = len(set(strata))
    count = data.draw(st.integers(kinds, n))
    chosen = choose_people(names, strata, count=count, seed=seed)
    assert len(chosen) == len(set(chosen)) == count and set(chosen) <= set(names)
    assert {strata[names.index(p)] for p in chosen} == set(strata)
    assert chosen == choose_people(names[::-1], strata[::-1], count=count, seed=seed)


def test_one_per_cent_of_two_hundred_is_two_people_one_of_each_class():
    names = [f"p{i:03d}" for i in range(200)]
    chosen = choose_people(names, ["0"] * 150 + ["1"] * 50, share=0.01)
    assert [int(p[1:]) < 150 for p in chosen] == [True, False]
    assert len(choose_people(names, ["0"] * 150 + ["1"] * 50, share=0.1)) == 20
    assert choose_people(names, ["0"] * 200) == names


def test_budgets_that_cannot_be_met_say_so():
    names, strata = ["a", "b", "c"], ["0", "0", "1"]
    with pytest.raises(ValueError, match="a budget of 1 of 3 people cannot hold one of each"):
        choose_people(names, strata, count=1)
    with pytest.raises(ValueError, match="budget_people is 4, but only 3"):
        choose_people(names, strata, count=4)
    with pytest.raises(ValueError, match="budget_share is 0"):
        choose_people(names, strata, share=0.0)
    with pytest.raises(ValueError, match="set one of them"):
        choose_people(names, strata, share=0.5, count=2)
    assert choose_people(["a"], ["0"]) == ["a"]
