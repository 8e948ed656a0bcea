"""What a run says of its time is what happened."""

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from elm_jax.cost import StepCost
from elm_jax.progress import Progress
from elm_jax.watch import Ledger, Spent, Watch

COST = StepCost(flops=2e9, temporary_bytes=0, arguments_bytes=0, peak_flops=1e12)


class FakeLoss:
    """Is there ``seconds`` after the devices have taken it up."""

    def __init__(self, seconds=0.0):
        self._seconds = seconds

    def block_until_ready(self):
        time.sleep(self._seconds)


def values_of(steps=3, spent=None, cost=COST):
    with Watch(10, cost, spent or Spent(time.time())) as watch:
        for _ in watch.fed([None] * steps):
            watch.started(FakeLoss(0.01))
        return watch.report()


def ledger_of(*steps):
    ledger = Ledger()
    for step in steps:
        ledger.add(*step)
    return ledger


def test_waiting_while_no_step_runs_is_waiting_for_input():
    # Asked, given, ended: the second batch is asked for at 1, the devices stand still from 2 on.
    ledger = ledger_of((0, 1, 2), (1, 5, 6))
    assert (ledger.steps, ledger.running_s, ledger.waiting_s) == (2, 2, 3)
    assert ledger.waiting_share == 0.6 and ledger.steps_per_s == 0.4


def test_waiting_while_a_step_runs_is_not():
    # Every batch comes before the step in front of it has ended.
    ledger = ledger_of((0, 1, 4), (1, 3, 7), (3, 6, 10))
    assert (ledger.running_s, ledger.waiting_s) == (9, 0)


def test_validating_and_saving_between_steps_count_as_neither():
    # The loop asks for its next batch at 50 only, and has it at once.
    ledger = ledger_of((0, 0, 1), (50, 50, 51))
    assert (ledger.running_s, ledger.waiting_s, ledger.steps_per_s) == (2, 0, 1)


def test_the_first_batchs_wait_belongs_to_the_start():
    assert ledger_of((0, 30, 31)).waiting_s == 0


@given(st.lists(st.tuples(*[st.floats(0, 10)] * 3), min_size=1, max_size=8))
def test_no_time_is_counted_twice(gaps):
    now, last_end, times = 0.0, 0.0, []
    for ask, wait, run in gaps:
        asked, got = now + ask, now + ask + wait
        last_end = max(got, last_end) + run
        times.append((asked, got, last_end))
        now = got
    ledger = ledger_of(*times)
    assert ledger.running_s >= 0 and ledger.waiting_s >= 0
    assert ledger.running_s + ledger.waiting_s <= last_end - times[0][1] + 1e-6


def test_a_report_begins_a_new_interval():
    with Watch(10, COST, Spent(time.time())) as watch:
        for _ in watch.fed([None]):
            watch.started(FakeLoss(0.01))
        assert watch.report()["steps_per_s"] > 0
        assert watch.report()["steps_per_s"] == 0


def test_the_share_of_the_devices_peak_follows_from_the_programs_operations():
    values = values_of()
    assert values["examples_per_s"] == pytest.approx(10 * values["steps_per_s"])
    assert values["mfu"] == pytest.approx(2e9 * values["steps_per_s"] / 1e12)
    assert values["tflops_per_s_per_device"] == pytest.approx(2e9 * values["steps_per_s"] / 1e12)


def test_a_device_without_a_known_peak_has_no_share_of_it():
    assert "mfu" not in values_of(cost=COST._replace(peak_flops=None))


def test_goodput_counts_the_time_before_a_restart_and_the_steps_that_stand():
    # Ten minutes ago the run began; six of them went into steps that its checkpoint has.
    values = values_of(spent=Spent(time.time() - 600, 360.0))
    assert values["goodput"] == pytest.approx(0.6, abs=0.01)


def test_what_was_spent_survives_a_checkpoint():
    with Watch(1, COST, Spent(1000.0, 5.0)) as watch:
        for _ in watch.fed([None]):
            watch.started(FakeLoss(0.2))
        began, running = watch.to_json()
    assert began == 1000.0 and running >= 5.2
    assert Spent.of([began, running], 0.0) == Spent(began, running)


def test_an_input_that_gives_nothing_is_reported_while_it_lasts(caplog):
    release = threading.Event()

    def stream():
        release.wait(5)
        yield None

    with (
        caplog.at_level("WARNING", logger="elm_jax"),
        Watch(1, COST, Spent(time.time()), stalled_s=0.2) as watch,
    ):
        fed = watch.fed(stream())
        threading.Timer(0.6, release.set).start()
        next(fed)
    told = [r.getMessage() for r in caplog.records if "stalled: no batch for" in r.getMessage()]
    assert 1 <= len(told) <= 2  # told again only after twice as long


def test_a_slow_input_is_told_once_with_what_to_do(caplog):
    with caplog.at_level("WARNING", logger="elm_jax"), Watch(1, COST, Spent(time.time())) as watch:
        for _ in watch.fed(time.sleep(0.6) for _ in range(5)):
            watch.started(FakeLoss())
        watch.report()
        watch.report()
    told = [r.getMessage() for r in caplog.records if "wait for batches" in r.getMessage()]
    assert len(told) == 1 and "config.data.reader_threads" in told[0]


def test_a_step_that_fails_fails_the_report():
    class Failing:
        def block_until_ready(self):
            raise RuntimeError("the device is gone")

    with Watch(1, COST, Spent(time.time())) as watch:
        watch.started(Failing())
        with pytest.raises(RuntimeError, match="the device is gone"):
            watch.report()


def test_a_line_of_progress_says_what_is_worth_saying(caplog):
    values = dict(loss=0.5, examples_per_s=10.0, input_wait_share=0.3, mfu=0.41)
    with caplog.at_level("INFO", logger="elm_jax"), Progress(0, 4) as progress:
        progress.show(2, values)
        progress.show(3, values | {"input_wait_share": 0.01})
    first, second = (r.getMessage() for r in caplog.records)
    assert "10 examples/s  MFU 41%  input wait 30%" in first
    assert "input wait" not in second
