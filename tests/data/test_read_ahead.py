"""Batches come in order, no more of them than said, from any step; mistakes come as they are."""

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest

from elm_jax.data.read_ahead import AHEAD, READERS, read_ahead, reader_of
from elm_jax.data.shard_file import ShardError

both = pytest.mark.parametrize("by", READERS)


class Made:
    """Makes batches, slower for even steps; knows which, and what is being made."""

    def __init__(self, fails=None):
        self.steps, self.fails = [], fails or {}

    def __call__(self, step):
        self.steps.append(step)
        time.sleep(0.002 * (step % 2 == 0))
        if step in self.fails:
            raise self.fails[step]
        return {"b": np.full((2, 3), step, np.int64), "a": np.asarray([step % 2 == 0])}


@both
@pytest.mark.parametrize("start", [0, 1_000_000])
def test_batches_come_in_order_and_nothing_is_made_of_earlier_steps(start, by):
    make = Made()
    found = list(read_ahead(make, start, start + 9, threads=3, by=by))
    assert [int(b["b"][1, 2]) for b in found] == list(range(start, start + 9))
    assert [bool(b["a"][0]) for b in found] == [s % 2 == 0 for s in range(start, start + 9)]
    assert sorted(make.steps) == list(range(start, start + 9))  # each once


@both
@pytest.mark.parametrize("count", [-1, 0, 1, 2])
def test_fewer_batches_than_are_read_ahead_are_all_given(count, by):
    assert len(list(read_ahead(Made(), 5, 5 + count, threads=4, by=by))) == max(count, 0)


@both
def test_no_more_batches_wait_than_said_and_closing_ends_the_making(by):
    make = Made()
    stream = read_ahead(make, 0, 1000, threads=2, by=by)
    for _ in range(3):
        next(stream)
    time.sleep(0.2)
    assert len(make.steps) <= 3 + 2 + AHEAD
    stream.close()
    time.sleep(0.05)
    made, threads = len(make.steps), threading.active_count()
    time.sleep(0.1)
    assert len(make.steps) == made and threading.active_count() <= threads


@both
@pytest.mark.parametrize("error", [ShardError("x: record 3"), StopIteration(), KeyError("k")])
def test_an_exception_is_raised_as_it_is_after_the_batches_before_it(error, by):
    found = []
    stream = read_ahead(Made({4: error, 6: ValueError("later")}), 0, 20, threads=3, by=by)
    try:
        for batch in stream:
            found.append(int(batch["b"][0, 0]))
    except Exception as raised:
        # A generator must not raise StopIteration: Python itself makes a RuntimeError of it.
        assert raised is error or raised.__cause__ is error
        assert raised.__suppress_context__
    else:
        pytest.fail("the data seem to end")
    assert found == [0, 1, 2, 3]


@both
def test_an_exception_at_the_first_batch_is_raised_as_it_is(by):
    with pytest.raises(ShardError, match="first"):
        next(read_ahead(Made({7: ShardError("first")}), 7, 9, threads=1, by=by))


def test_threads_make_at_most_so_many_batches_at_once():
    begun, most, lock = [], [], threading.Lock()

    def make(step):
        with lock:
            begun.append(step)
            most.append(len(begun))
        time.sleep(0.005)
        with lock:
            begun.remove(step)
        return {"a": np.zeros(1)}

    assert len(list(read_ahead(make, 0, 12, threads=3, by="threads"))) == 12
    assert max(most) == 3


def test_a_reader_that_there_is_not_is_refused_with_those_that_there_are():
    config = SimpleNamespace(data={"reader": "grain"})
    with pytest.raises(ValueError, match=r"config.data.reader is 'grain'; known: \('tf_data'"):
        reader_of(config)
    assert reader_of(SimpleNamespace(data={})) == "tf_data"
    with pytest.raises(ValueError, match="known"):
        read_ahead(Made(), 0, 1, threads=1, by="")
