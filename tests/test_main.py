"""The command: a user's mistake is a short message and exit code 2, before any work."""

import pathlib
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parent.parent


def run(tmp_path, *arguments, config="configs/elm_5s.py"):
    command = [sys.executable, "-m", "elm_jax.main", "--config", config]
    command += ["--workdir", str(tmp_path / "run"), *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def assert_short(done, *, lines):
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.count("\n") <= lines, done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config.encoder.kernls=1"], "no key config.encoder.kernls; did you mean config.encod"),
        (["--config.nope=1", "--config.seed=2"], "has no key config.nope; known: "),
        (["--config.seed=abc"], "flag --config.seed=abc: invalid literal"),
        (["more"], "unknown arguments: ['more']"),
    ],
)
def test_a_typo_is_named_before_anything_is_made(tmp_path, arguments, message):
    done = run(tmp_path, *arguments)
    assert_short(done, lines=2)
    assert done.stderr.startswith("error: ") and message in done.stderr
    assert not list(tmp_path.iterdir())


def test_an_unknown_variant_of_a_recipe_lists_the_known_ones(tmp_path):
    done = run(tmp_path, config="configs/elm_5s.py:huge")
    assert_short(done, lines=1)
    assert "'huge'; known: 'demo', 'smoke'" in done.stderr


def test_missing_data_say_what_to_run_and_leave_the_traceback_in_the_log(tmp_path):
    done = run(tmp_path, f"--config.data.dir={tmp_path / 'nowhere'}")
    assert_short(done, lines=3)
    assert "no such directory; prepare a corpus first: python -m data_prep.prepare" in done.stderr
    assert "Traceback" in (tmp_path / "run" / "train.log").read_text()
