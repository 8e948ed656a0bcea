"""Which simulated corpus a recipe runs on where no data are named."""

import pytest
from etils import epath

from configs import elm_5s, relpos_sleep
from elm_jax import demo


@pytest.fixture
def commands(monkeypatch):
    made = []
    monkeypatch.setattr(demo, "run_command", lambda command, what: made.append(list(command)))
    return made


@pytest.mark.parametrize(
    "recipe, arg, corpus, hours",
    [
        (relpos_sleep, "smoke", "simulated_nights", "0.2"),
        (relpos_sleep, "demo", "simulated_nights", None),
        (elm_5s, "demo", "demo", None),
    ],
)
def test_a_recipe_says_which_corpus_its_demo_is(recipe, arg, corpus, hours, commands, tmp_path):
    config = recipe.get_config(arg)
    demo.use_demo_corpus(config, epath.Path(tmp_path) / "run", already_small=True)
    (command,) = commands
    assert command[:2] == ["data_prep.prepare", corpus]
    options = dict(zip(command[2::2], command[3::2], strict=True))
    assert options["--out"] == config.data.dir
    assert options["--demo_people"] == str(config.data.demo_people)
    assert options.get("--demo_hours") == hours


@pytest.mark.parametrize("window_s, more", [(10.0, []), (2.5, ["--window_s", "2.5"])])
def test_a_recipe_of_ecgs_runs_on_simulated_ones_in_its_windows(window_s, more, commands, tmp_path):
    config = relpos_sleep.get_config("smoke")
    config.data = {"dir": "", "demo_corpus": "ecg", "demo_people": 12, "demo_window_s": window_s}
    demo.use_demo_corpus(config, epath.Path(tmp_path) / "run", already_small=True)
    (command,) = commands
    assert command[:2] == ["data_prep.prepare", "simulated_ecg"]
    assert command[4:] == ["--demo_people", "12", *more]
    # Other windows are another directory.
    assert ("2.5s" in config.data.dir) == bool(more)


def test_an_unknown_corpus_names_the_known_ones(commands, tmp_path):
    config = relpos_sleep.get_config("smoke")
    config.data.demo_corpus = "days"
    with pytest.raises(ValueError, match=r"'days'; known: 'routine', 'nights', 'ecg'"):
        demo.use_demo_corpus(config, epath.Path(tmp_path) / "run", already_small=True)
    assert not commands
