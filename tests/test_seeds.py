"""A run a seed: each in its own folder, finished ones are not run again, scores side by side."""

import json

import pytest
from etils import epath
from ml_collections import ConfigDict

from elm_jax import run_dir, seeds


def config_of(**changes):
    config = dict(seed=7, seeds=(3, 4), encoder=dict(name="conv_eeg"), objective={}, rate=0.1)
    return ConfigDict(config | changes).lock()


@pytest.fixture
def runs(monkeypatch):
    """Seeds that were trained, by a training that writes what a training writes."""
    trained = []

    def train(config, workdir):
        trained.append(config.seed)
        run_dir.write_config(config, workdir)
        scores = [dict(input="classifier", budget=1.0, unit="window", n=4, people=2)]
        scores[0] |= dict(bacc=config.seed / 10, bacc_low=0.0, bacc_high=1.0)
        summary = dict.fromkeys(seeds.SHARED) | dict(
            simulated=True, mode="train", counts={}, signal={}, people={}, loss=1.0 * config.seed,
            step=2, seconds=1.0, model={}, evals=["classification"],
            classification=dict(scores=scores),
        )  # fmt: skip
        (workdir / "summary.json").write_text(json.dumps(summary))
        return summary

    monkeypatch.setattr(seeds.training, "train", train)
    return trained


def test_without_seeds_it_is_one_run_in_the_workdir_itself(runs, tmp_path):
    seeds.train(config_of(seeds=()), epath.Path(tmp_path))
    assert runs == [7] and (tmp_path / "config.json").exists()


def test_every_seed_has_a_folder_and_the_workdir_all_scores(runs, tmp_path):
    config = config_of()
    summary = seeds.train(config, epath.Path(tmp_path))
    assert runs == [3, 4] and config.seed == 7
    for seed in (3, 4):
        saved = json.loads((tmp_path / f"seed_{seed}" / "config.json").read_text())
        assert (saved["seed"], saved["seeds"]) == (seed, [])
    assert summary["seed"] == [3, 4] and summary["loss"] == 3.5
    assert summary["classification"]["bacc_mean"] == 0.35
    assert json.loads((tmp_path / "summary.json").read_text()) == summary
    assert "seed_3, seed_4" in (tmp_path / "report.html").read_text()
    table = (tmp_path / "tables" / "classification_per_seed.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in table] == ["seed", "3", "4"]


def test_what_is_finished_is_not_run_again_and_what_changed_is(runs, tmp_path):
    seeds.train(config_of(seeds=(3,)), epath.Path(tmp_path))
    seeds.train(config_of(), epath.Path(tmp_path))
    assert runs == [3, 4]
    (tmp_path / "seed_4" / "summary.json").unlink()  # stopped before its end
    seeds.train(config_of(), epath.Path(tmp_path))
    assert runs == [3, 4, 4]
    seeds.train(config_of(rate=0.2), epath.Path(tmp_path))
    assert runs == [3, 4, 4, 3, 4]


@pytest.mark.parametrize("given", [(1, 1), (0.5,), (-1,)])
def test_seeds_that_are_none_are_refused(runs, given, tmp_path):
    with pytest.raises(ValueError, match="config.seeds must be different whole numbers"):
        seeds.train(config_of(seeds=given), epath.Path(tmp_path))
    assert not runs
