"""A profiler's trace holds the steps asked for, or the flag is refused before any step."""

import jax.numpy as jnp
import pytest
from etils import epath

from elm_jax.trace import Trace


def test_the_steps_asked_for_are_traced_and_no_others(tmp_path):
    with Trace("3:4", epath.Path(tmp_path), first=0, last=5) as trace:
        for step in range(1, 6):
            trace.before(step)
            loss = jnp.ones(4).sum()
            trace.after(step, loss)
            assert (tmp_path / "profile").exists() == (step >= 4)
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_a_run_that_stops_within_the_steps_keeps_what_was_traced(tmp_path):
    with pytest.raises(KeyboardInterrupt), Trace("1:9", epath.Path(tmp_path), first=0, last=9) as t:
        t.before(1)
        raise KeyboardInterrupt
    assert list((tmp_path / "profile").rglob("*.xplane.pb"))


def test_nothing_is_traced_without_the_flag(tmp_path):
    with Trace("", epath.Path(tmp_path), first=0, last=2) as trace:
        for step in (1, 2):
            trace.before(step)
            trace.after(step, jnp.zeros(()))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("steps", ["ten", "4:", "5:4", "1:99", "0:3"])
def test_steps_that_no_run_does_are_refused(tmp_path, steps):
    with pytest.raises(ValueError, match="--profile"):
        Trace(steps, epath.Path(tmp_path), first=3, last=9)


@pytest.mark.parametrize(("steps", "traced"), [("2:3", False), ("2:5", True)])
def test_the_same_command_goes_on_after_a_stop(tmp_path, steps, traced):
    with Trace(steps, epath.Path(tmp_path), first=3, last=9) as trace:
        for step in range(4, 10):
            trace.before(step)
            trace.after(step, jnp.zeros(()))
    assert (tmp_path / "profile").exists() == traced
