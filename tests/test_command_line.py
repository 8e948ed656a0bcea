"""Values on the command line: None switches off, and what a recipe left open is set."""

import pathlib

import pytest
from absl import flags
from ml_collections import ConfigDict, config_flags

from elm_jax import build, command_line
from elm_jax.schedules import run_length

RECIPE = pathlib.Path(__file__).resolve().parent.parent / "configs" / "relpos_sleep.py"


def config_of(*arguments):
    """The recipe as the command would read it."""
    command_line.accept_none()
    argv = ["main", f"--config={RECIPE}", *(f"--config.{a}" for a in arguments)]
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", flag_values=values, sys_argv=argv)
    values(argv)
    return values.config


def test_a_run_is_so_many_steps_long_where_the_recipe_counts_epochs():
    schedule = "optimizer.schedule.total_"
    config = config_of(f"{schedule}epochs=None", f"{schedule}steps=10")
    length = run_length(config.optimizer.schedule.to_dict(), steps_per_epoch=4, rows_per_step=8)
    assert length.total_steps == 10


def test_sections_and_numbers_can_be_switched_off():
    config = config_of("validation=None", "evals.staging=None", "checkpoint.use=last")
    assert config.validation is None and config.evals.staging is None
    assert config_of("validation.patience_epochs=None").validation.patience_epochs is None
    # A word is a word where words are expected.
    assert config_of("init_from=None").init_from == "None"


def test_all_evals_can_be_switched_off_at_once():
    config = config_of("evals=None")
    command_line.without_evals(config)
    assert build.build_evals(config) == {} and config.evals.rows_per_batch


def test_what_a_recipe_left_open_takes_any_value_of_python():
    config = config_of('text={"mode": "cls", "size": (1, 2)}', "optimizer.schedule.warmup_steps=3")
    assert isinstance(config.text, ConfigDict) and config.text.size == (1, 2)
    assert config.optimizer.schedule.warmup_steps == 3


def test_numbers_stay_numbers_and_a_kind_comes_with_its_settings():
    config = config_of("optimizer.rate=1e-3", "seed=3", 'encoder={"name": "mlp", "hidden": (3,)}')
    assert (config.optimizer.rate, config.seed, config.encoder.hidden) == (1e-3, 3, (3,))


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ("text=abc", "'abc' is no value: expected one as Python writes it"),
        ("validation=3", "'3' is no section of a config: expected a mapping"),
        ("encoder={", "'{' is no value"),
        ("optimizer.rate=none", "could not convert string to float"),
        ("seed=1.5", "invalid literal"),
    ],
)
def test_what_cannot_be_read_is_said(argument, message):
    with pytest.raises(flags.IllegalFlagValueError, match=message):
        config_of(argument)
