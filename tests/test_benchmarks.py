"""The table of figures hides nothing: what failed, what is missing, what misses its goal."""

import importlib
import pathlib
import sys

import pytest

BENCHMARKS = pathlib.Path(__file__).resolve().parent.parent / "benchmarks"


@pytest.fixture
def run(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    yield importlib.import_module("run")
    sys.modules.pop("run")


def result(figures, failed=""):
    return {"figures": figures, "failed": failed, "seconds": 1.0}


def test_every_benchmark_is_there_and_hands_its_figures_on(run):
    for command in run.BENCHMARKS:
        source = (BENCHMARKS / command.split()[0]).read_text()
        assert "figures.add_json(parser)" in source and "figures.write(args.json" in source


def test_a_goal_that_is_missed_is_shown_as_missed(run):
    lines = run.table({"mil_step.py": result({"ratio": 3.5})}).splitlines()
    assert "MISSED" in lines[1] and "3.5" in lines[1]
    assert " met " in run.table({"mil_step.py": result({"ratio": 4.5})})


def test_a_figure_that_a_benchmark_gives_no_more_is_shown_as_failed(run):
    table = run.table({"mil_step.py": result({"renamed": 5.0})})
    assert "not given" in table and "FAILED" in table


def test_a_benchmark_that_ends_with_an_error_is_shown_as_failed(run):
    table = run.table({"mil_step.py": result({}, failed="exit code 1")})
    assert "exit code 1" in table and "FAILED" in table
