"""Batches are on the devices ahead of the loop, as many as said; mistakes and ends come through."""

import gc
import threading
import time

import jax
import numpy as np
import pytest

from elm_jax.prefetch import to_device
from elm_jax.sharding import make_mesh

MESH = make_mesh({"data": -1})


class Stream:
    """Batches that count up; fails before one of them if told to; knows what was asked of it."""

    def __init__(self, count, fails_at=None):
        self.given, self.closed, self.more = 0, False, threading.Condition()
        self._count, self._fails_at = count, fails_at

    def __iter__(self):
        try:
            for step in range(self._count):
                if step == self._fails_at:
                    raise OSError(f"shard of step {step}")
                with self.more:
                    self.given += 1
                    self.more.notify_all()
                yield {"x": np.full((4, 2), step, np.int16)}
        finally:
            self.closed = True

    def wait_for(self, given):
        with self.more:
            return self.more.wait_for(lambda: self.given >= given, timeout=20)


def threads():
    return [t for t in threading.enumerate() if t.name == "prefetch"]


@pytest.mark.parametrize("ahead", [0, 1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 3, 6])
def test_every_batch_comes_in_order_however_many_there_are_and_wait(ahead, count):
    stream = Stream(count)
    found = list(to_device(stream, MESH, ahead=ahead))
    assert [int(b["x"][3, 1]) for b in found] == list(range(count))
    assert all(isinstance(b["x"], jax.Array) and b["x"].shape == (4, 2) for b in found)
    assert stream.closed and not threads()


def test_the_next_batches_are_sent_while_one_is_in_use_and_no_more_of_them():
    stream = Stream(100)
    batches = to_device(stream, MESH, ahead=2)
    for used in range(1, 4):
        next(batches)
        assert stream.wait_for(used + 2)  # nothing was asked for meanwhile
        time.sleep(0.05)
        assert stream.given == used + 2
    batches.close()


@pytest.mark.parametrize("ahead", [0, 3])
def test_a_mistake_comes_after_the_batches_before_it_and_as_it_is(ahead):
    stream, found = Stream(9, fails_at=2), []
    with pytest.raises(OSError, match="^shard of step 2$"):
        for batch in to_device(stream, MESH, ahead=ahead):
            found.append(int(batch["x"][0, 0]))
    assert found == [0, 1] and stream.closed and not threads()


def test_closing_early_ends_the_thread_and_the_stream():
    stream = Stream(100)
    batches = to_device(stream, MESH, ahead=2)
    next(batches)
    assert len(threads()) == 1
    batches.close()
    assert stream.closed and not threads() and stream.given <= 4


def test_a_loop_that_is_left_by_an_exception_leaves_no_thread():
    stream = Stream(100)

    def loop():
        for _ in to_device(stream, MESH, ahead=2):
            raise KeyError("step")

    with pytest.raises(KeyError):
        loop()
    gc.collect()
    assert stream.closed and not threads()


def test_nothing_is_read_before_the_first_batch_is_asked_for():
    stream = Stream(3)
    batches = to_device(stream, MESH)
    assert not threads() and stream.given == 0
    batches.close()
    assert stream.given == 0


def test_closing_does_not_wait_for_ever_for_a_read_that_hangs(monkeypatch, caplog):
    monkeypatch.setattr("elm_jax.prefetch._PATIENCE_S", 0.1)
    hung = threading.Event()

    def stream():
        yield {"x": np.zeros((4, 2))}
        hung.wait(20)

    batches = to_device(stream(), MESH)
    next(batches)
    batches.close()
    assert "still under way" in caplog.text
    hung.set()
    for thread in threads():
        thread.join(20)
