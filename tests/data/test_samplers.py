import concurrent.futures
import math
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from elm_jax.data.samplers import BagSampler, PairSampler, PerEpoch, share

counts = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 9)), min_size=1, max_size=12)
styles = st.sampled_from(["x,y", "x|y", "y|x"])


def make(pairs, style="x,y", bags=4, crops=3, segments=2, seed=0):
    n_crops, n_segments = zip(*pairs, strict=True)
    return BagSampler(
        n_crops,
        n_segments,
        bags_per_batch=bags,
        crops_per_bag=crops,
        segments_per_bag=segments,
        style=style,
        seed=seed,
    )


def epoch_of(sampler, epoch=0):
    steps = sampler.steps_per_epoch(epoch)
    return [sampler.plan(epoch * steps + i) for i in range(steps)]


@settings(deadline=None, max_examples=60)
@given(counts, styles, st.integers(1, 6), st.integers(0, 3))
def test_a_batch_holds_a_recording_once_and_only_crops_and_segments_it_has(
    pairs, style, bags, seed
):
    if not any(c and s for c, s in pairs):
        with pytest.raises(ValueError, match="both a crop and a text segment"):
            make(pairs, style, bags)
        return
    sampler = make(pairs, style, bags, seed=seed)
    for plan in epoch_of(sampler):
        real = plan.recording[plan.recording >= 0]
        assert len(set(real)) == len(real) > 0
        for recording, crop, segment in zip(*plan, strict=True):
            if recording < 0:
                assert (crop == -1).all() and (segment == -1).all()
                continue
            for chosen, limit in ((crop, pairs[recording][0]), (segment, pairs[recording][1])):
                chosen = chosen[chosen >= 0]
                assert len(chosen) and len(set(chosen)) == len(chosen)
                assert chosen.max() < limit


@settings(deadline=None, max_examples=30)
@given(counts.filter(lambda p: any(c and s for c, s in p)), styles)
def test_nothing_is_drawn_that_is_not_usable(pairs, style):
    pair_sampler = PairSampler(*zip(*pairs, strict=True), pairs_per_batch=3)
    for sampler in (make(pairs, style), pair_sampler):
        assert sampler.usable.tolist() == [c > 0 and s > 0 for c, s in pairs]
        drawn = {r for e in range(3) for plan in epoch_of(sampler, e) for r in plan.recording}
        assert drawn - {-1} <= set(np.flatnonzero(sampler.usable))


@settings(deadline=None, max_examples=30)
@given(counts.filter(lambda p: any(c and s for c, s in p)), styles, st.integers(0, 40))
def test_a_plan_is_a_pure_function_of_seed_and_step(pairs, style, step):
    forward = make(pairs, style)
    for s in range(0, step, 7):
        forward.plan(s)
    for a, b in zip(forward.plan(step), make(pairs, style).plan(step), strict=True):
        np.testing.assert_array_equal(a, b)


def test_bags_of_x_and_y_follow_the_published_count():
    # ceil(max(7 / 3, 1 / 2)) = 3 bags, ceil(max(2 / 3, 5 / 2)) = 3, max(1, ...) = 1; none, none.
    sampler = make([(7, 1), (2, 5), (1, 1), (0, 4), (4, 0)], bags=3)
    seen = np.concatenate([p.recording[p.recording >= 0] for p in epoch_of(sampler)])
    assert np.bincount(seen, minlength=5).tolist() == [3, 3, 1, 0, 0]


def test_x_given_y_takes_every_segment_once_an_epoch_with_many_crops():
    sampler = make([(7, 4), (2, 3)], "x|y", bags=2)
    plans = epoch_of(sampler)
    pairs = [
        (r, s[0]) for p in plans for r, s in zip(p.recording, p.segment, strict=True) if r >= 0
    ]
    # Recording 1 runs out first: a batch with one of two bags is not under half, so all come.
    assert sorted(pairs) == [(0, 0), (0, 1), (0, 2), (0, 3), (1, 0), (1, 1), (1, 2)]
    assert plans[0].segment.shape == (2, 1) and plans[0].crop.shape == (2, 3)


def test_y_given_x_takes_every_crop_once_an_epoch_with_many_segments():
    sampler = make([(4, 9), (4, 9)], "y|x", bags=2)
    plans = epoch_of(sampler)
    crops = sorted(
        (r, c[0]) for p in plans for r, c in zip(p.recording, p.crop, strict=True) if r >= 0
    )
    assert crops == [(r, c) for r in range(2) for c in range(4)]
    assert all((p.segment[p.recording >= 0] >= 0).all() for p in plans)


def test_the_first_batch_under_half_full_ends_the_epoch():
    # 1 recording has 9 bags, 4 others 1 each; batches of 4.
    sampler = make([(27, 1), (1, 1), (1, 1), (1, 1), (1, 1)], bags=4)
    filled = [int((p.recording >= 0).sum()) for p in epoch_of(sampler)]
    assert filled == [4, 2, 1]


@settings(deadline=None, max_examples=60)
@given(
    counts.filter(lambda p: any(c and s for c, s in p)),
    styles,
    st.integers(1, 5),
    st.integers(0, 9),
)
def test_every_batch_takes_those_with_most_bags_left(pairs, style, bags, seed):
    sampler = make(pairs, style, bags, seed=seed)
    left = np.asarray([0 if not (c and s) else
                       {"x|y": s, "y|x": c, "x,y": max(1, math.ceil(max(c / 3, s / 2)))}[style]
                       for c, s in pairs])  # fmt: skip
    plans = epoch_of(sampler)
    for plan in plans:
        drawn = plan.recording[plan.recording >= 0]
        assert len(drawn) == min(bags, np.count_nonzero(left))
        others = np.delete(left, drawn)
        assert left[drawn].min() >= max(others, default=0)
        left[drawn] -= 1
    assert not left.any() or len(drawn) < bags / 2


def test_recordings_with_equally_many_bags_left_come_in_random_order():
    firsts = [make([(3, 1)] * 4 + [(1, 1)], bags=1, seed=seed).plan(0) for seed in range(200)]
    times = np.bincount([p.recording[0] for p in firsts], minlength=5)
    assert times[:4].min() > 20  # of 200 draws, 40 each are expected of the five
    # The batch that is filled up from those with fewer bags takes any of them.
    second = [make([(9, 1)] * 3 + [(1, 1)] * 4, bags=4, seed=s).plan(0) for s in range(200)]
    drawn = np.bincount([max(p.recording) for p in second], minlength=7)
    assert drawn[:3].tolist() == [0, 0, 0] and drawn[3:].min() > 20


def test_a_million_recordings_are_planned_at_once():
    rng = np.random.default_rng(0)
    crops, segments = rng.integers(0, [[12], [30]], (2, 1_000_000))
    before = time.process_time()
    sampler = BagSampler(crops, segments, bags_per_batch=80, crops_per_bag=120, segments_per_bag=24)
    assert sampler.plan(10**6).recording.shape == (80,)
    assert time.process_time() - before < 2
    before = time.process_time()
    pairs = PairSampler(crops, segments, pairs_per_batch=256)
    assert (pairs.plan(10**6).recording >= 0).all()
    assert time.process_time() - before < 2
    held = sum(v.nbytes for v in vars(pairs).values() if isinstance(v, np.ndarray))
    assert held < 30 * len(crops)  # by the recording; what is by the crop is the epoch's order
    assert pairs._order(0).itemsize == 4


def test_threads_that_ask_for_an_epoch_wait_for_one_of_them_to_plan_it():
    made = []
    epochs = PerEpoch(lambda epoch: (time.sleep(0.02), made.append(epoch), epoch)[-1])
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        assert list(pool.map(epochs, [0] * 8 + [1] * 8 + [0] * 4)) == [0] * 8 + [1] * 8 + [0] * 4
    assert made == [0, 1]  # both are kept
    epochs(2)
    epochs(1)
    assert made == [0, 1, 2]


def test_epochs_differ_and_seeds_differ():
    pairs = [(9, 9)] * 8
    plans = [make(pairs).plan(0), make(pairs, seed=1).plan(0)]
    sampler = make(pairs)
    plans.append(sampler.plan(sampler.steps_per_epoch(0)))
    assert len({p.crop.tobytes() for p in plans}) == 3


def test_pairs_take_every_crop_once_an_epoch_and_drop_the_incomplete_batch():
    sampler = PairSampler([3, 4, 5], [2, 0, 1], pairs_per_batch=3)
    plans = epoch_of(sampler)
    pairs = [(r, c[0]) for p in plans for r, c in zip(p.recording, p.crop, strict=True)]
    assert len(plans) == 2 and len(set(pairs)) == 6
    assert {r for r, _ in pairs} <= {0, 2}
    assert all((p.segment[:, 0] < np.array([2, 0, 1])[p.recording]).all() for p in plans)


@pytest.mark.parametrize("processes", [1, 2, 4])
def test_processes_share_a_plan_without_overlap(processes):
    sampler = make([(5, 5)] * 6, bags=4)
    plan = sampler.plan(0)
    shares = [share(plan, i, processes) for i in range(processes)]
    for whole, parts in zip(plan, zip(*shares, strict=True), strict=True):
        np.testing.assert_array_equal(np.concatenate(parts), whole)
    with pytest.raises(ValueError, match="cannot be shared by 3 processes; use 6"):
        share(plan, 0, 3)


def test_pairs_need_room_in_a_batch():
    with pytest.raises(ValueError, match="config.sampler.pairs_per_batch is 0; at least 1"):
        PairSampler([3], [2], pairs_per_batch=0)


def test_an_unknown_style_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"'x;y'; known: \('x,y', 'x\|y', 'y\|x'\)"):
        make([(1, 1)], "x;y")
