"""Who was trained on is never scored unsaid: refusals, marks, and what training tells."""

import csv
import dataclasses
import json
import logging
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from etils import epath
from ml_collections import ConfigDict
from tiny_shards import tiny_spec, write_tiny_shards

from configs import elm_5s
from elm_jax import leakage, pretrained, train
from elm_jax.checkpoint import Checkpoints, Described
from elm_jax.convert.parts import SELECTED_ON, ModelParts
from elm_jax.data.manifest import ManifestError, NotPrepared
from elm_jax.data.people import NOT_KNOWN, People, PeopleError
from elm_jax.data.pipeline import Windows
from elm_jax.data.shards import ShardReader
from elm_jax.evals.base import EvalData, EvalResult, ModelInfo
from elm_jax.evaluate import evaluate

TEST = tuple(f"test:p{i:02d}" for i in range(4, 8))


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    directory = tmp_path_factory.mktemp("leakage") / "corpus" / "shards"
    return write_tiny_shards(directory, people=4, test_people=4, seconds=10.0)


@dataclasses.dataclass(frozen=True)
class Scores:
    """An eval that gives a row a recording."""

    split: str
    rows: tuple = ()

    @property
    def scored_splits(self):
        return (self.split,)

    def check(self, data):
        data.recordings(self.split)

    def __call__(self, predict, data):
        return EvalResult(scores=self.rows, notes=("its own",))


def data_of(directory, model=None):
    def windows(split):
        return Windows.of(ShardReader(directory, split).recordings, 500)

    reader = lambda split: ShardReader(directory, split)  # noqa: E731
    model = model or ModelInfo()
    manifest = ShardReader(directory, "test").manifest
    return EvalData(manifest, reader, windows, None, rows_per_batch=8, model=model)


# -- evals ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("unknown", [False, True])
def test_an_eval_of_trained_on_people_is_refused_with_what_to_do(shards, unknown):
    people = People.of(["test:p05", "test:p07", "else:p04", "test:p00"], unknown=unknown)
    with pytest.raises(leakage.TrainedOn) as caught:
        leakage.guard("zero", Scores("test"), data_of(shards), "refuse", people)
    assert "config.evals.zero would score 2 of the 4 people of split 'test'" in str(caught.value)
    assert "test:p05, test:p07." in str(caught.value)
    for way_out in ("--exclude_people", "--config.evals.trained_on_people=mark"):
        assert way_out in str(caught.value)


@pytest.mark.parametrize("people", [None, NOT_KNOWN, People(), People.of(["test:p00", "x:p05"])])
@pytest.mark.parametrize("mode", leakage.MODES)
def test_people_who_were_not_trained_on_or_are_not_known_are_scored(shards, people, mode):
    assert leakage.guard("zero", Scores("test"), data_of(shards), mode, people) == ()


def test_a_split_that_is_not_there_is_said_by_the_data(shards):
    with pytest.raises(ManifestError, match="split 'valid' holds no recordings"):
        leakage.guard("zero", Scores("valid"), data_of(shards), "refuse", People())


def test_marked_rows_say_who_was_trained_on(shards):
    rows = (
        {"recording": "rec04", "person": "test:p04", "x": 1},
        {"recording": "rec05", "x": 1},  # its person is looked up
        {"window": 3},  # whose it is cannot be told
    )
    evaluation, data, people = Scores("test", rows), data_of(shards), People.of(["test:p05"])
    notes = leakage.guard("zero", evaluation, data, "mark", people)
    result = leakage.mark(evaluation(None, data), evaluation, data, notes, people)
    assert [row["trained_on"] for row in result.scores] == [0, 1, None]
    assert result.scores[0] == rows[0] | {"trained_on": 0}
    assert "trained on 1 of the 4 people of split 'test'" in result.notes[0]
    partly = leakage.mark(result, evaluation, data, (), People.of(["test:p05"], unknown=True))
    assert [row["trained_on"] for row in partly.scores] == [None, 1, None]
    assert result.notes[1] == "its own"


@pytest.mark.parametrize("mode", ["Refuse", "", None, "ignore"])
def test_another_mode_is_refused(mode):
    config = ConfigDict({"evals": {"trained_on_people": mode}})
    with pytest.raises(ValueError, match="trained_on_people is .*known: .'refuse', 'mark'"):
        leakage.mode_of(config)


def test_what_is_not_known_is_said_in_words(shards):
    def say(trained_on, selected_on=None, split="test"):
        data = data_of(shards, ModelInfo("", "", trained_on, selected_on))
        return leakage.in_words(data.model, {"a": Scores(split), "b": Scores("test")}, data)

    unknown = say(None)
    assert unknown["trained_on"] == unknown["selected_on"] == "not known"
    (warning,) = unknown["warnings"]
    assert "the people this model was trained on are not known" in warning
    partly = say(People.of(["a:1"], unknown=True))
    assert partly["warnings"][0].startswith("some of the people this model was trained on")
    assert say(People.of(["a:1"]), People())["warnings"] == []
    seen = say(People.of(["test:p05"]), People.of(["test:p05", "test:p06"]), split="valid")
    assert [w.partition(" of the ")[0] for w in seen["warnings"]] == [
        "this model was trained on 1",
        "this model was chosen by its scores on 2",
    ]


# -- training ------------------------------------------------------------------------------------


def lines(people, sets):
    return list(leakage.overlaps(people, sets))


def test_every_known_set_gets_a_line_and_an_overlap_a_warning(shards, tmp_path):
    home = tmp_path / "home"
    own = home / "own"
    shutil.copytree(shards, own)
    shutil.copytree(shards, home / "tuab")
    (home / "unfinished").mkdir()
    path = tmp_path / "list.txt"
    path.write_text("p01  # without an institution\nelse:p02\n")
    sets = leakage.known_sets(own, (str(path), str(own / "manifest.json")))
    found = [(str(s.path), s.split, len(s.people)) for s in sets]
    named = [(str(path), "", 2), (str(own / "manifest.json"), "", 8)]
    assert found == [*named, (str(home / "tuab"), "test", 4)]
    told = lines(People.of(["test:p01", "test:p04"]), sets)
    assert [level for level, _ in told] == [logging.WARNING] * 3
    assert f"{path}: 1 of its 2 people are trained on (p01)" in told[0][1]
    assert "2 of its 8 people are trained on (test:p01, test:p04)" in told[1][1]
    assert f"{home / 'tuab'} (test): 1 of its 4 people" in told[2][1]
    assert told[2][1].endswith(f"--exclude_people {home / 'tuab'}")
    (first, *_) = lines(People.of(["test:p00"]), sets[:1])
    assert first == (logging.INFO, f"evaluation set {path}: none of its 2 people trained on")


def test_a_damaged_neighbour_does_not_stop_a_run_and_a_damaged_named_set_does(
    shards, tmp_path, caplog
):
    shutil.copytree(shards, tmp_path / "own")
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text('{"format": 99}')
    with caplog.at_level("WARNING", logger="elm_jax"):
        (own,) = leakage.known_sets(tmp_path / "own", ())
    assert own.own and own.people == TEST and "format is 99" in caplog.text
    for named, error in (
        (broken, ManifestError),
        (tmp_path / "typo", PeopleError),
        (tmp_path, NotPrepared),
    ):
        with pytest.raises(error):
            leakage.known_sets(tmp_path / "own", (str(named),))


def test_tuh_without_any_known_set_is_pointed_to_the_corpora_that_share_people():
    own = leakage.KnownSet("shards/tueg", "test", ("tuh:b",), own=True)
    other = leakage.KnownSet("shards/tuab", "test", ("tuh:c",))
    for sets in ([], [own]):
        level, line = lines(People.of(["tuh:a"]), sets)[-1]
        assert level == logging.WARNING and "--config.data.evaluation_sets=" in line
        assert "TUAB, TUEV and TUSZ" in line
    assert len(lines(People.of(["tuh:a"]), [own, other])) == 2
    assert lines(People.of(["local:a"]), []) == []


class Corpus:
    def __init__(self, **people):
        self._people = people

    def recordings(self, split):
        return [SimpleNamespace(person=p) for p in self._people[split]]


def test_only_people_who_are_drawn_count_and_ancestors_are_kept():
    corpus = Corpus(train=["a:1", "a:1", "a:2", "a:3"], valid=["a:9"])
    sampler = SimpleNamespace(usable=np.array([False, True, False, True]))
    scratch = leakage.seen_by(ConfigDict(), corpus, sampler, leakage.seen_before(None, None))
    assert scratch.trained_on == People.of(["a:1", "a:3"]) and scratch.selected_on == People()
    validates = ConfigDict({"validation": {"split": "valid"}})
    about = Described(3, {}, tiny_spec(), People.of(["b:1"]), None)
    resumed = leakage.seen_by(validates, corpus, sampler, leakage.seen_before(about, None))
    assert resumed.trained_on == People.of(["a:1", "a:3", "b:1"])
    assert resumed.selected_on == People.of(["a:9"], unknown=True)
    stored = People.of(["c:1"]).to_json()
    parts = ModelParts(tiny_spec(), {}, {}, {}, trained_on=None, extra={SELECTED_ON: stored})
    started = leakage.seen_by(ConfigDict(), corpus, sampler, leakage.seen_before(None, parts))
    assert started.trained_on == People.of(["a:1", "a:3"], unknown=True)
    assert started.selected_on == People.of(["c:1"])


# -- a whole run ---------------------------------------------------------------------------------


def recipe(shards, **changes):
    config = elm_5s.get_config("smoke").unlock()
    config.data.dir = str(shards)
    config.evals = dict(
        rows_per_batch=32, trained_on_people="refuse", zero_shot=config.evals.zero_shot
    )
    config.update_from_flattened_dict(changes)
    return config.lock()


@pytest.fixture(scope="module")
def run_and_log(shards, tmp_path_factory):
    """A run that knows an evaluation set of two people, one of whom it trains on."""
    folder = epath.Path(tmp_path_factory.mktemp("run"))
    (folder / "eval.txt").write_text("test:p01\ntest:nobody\n")
    config, said = recipe(shards).unlock(), []
    config.data.evaluation_sets = (str(folder / "eval.txt"),)
    handler = logging.Handler(logging.INFO)
    handler.emit = lambda record: said.append(record.getMessage())
    log = logging.getLogger("elm_jax")
    level = log.level
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    (folder / "whole").mkdir()
    train.train(config.lock(), folder / "whole")
    log.removeHandler(handler)
    log.setLevel(level)
    return folder / "whole", said


@pytest.fixture(scope="module")
def run(run_and_log):
    return run_and_log[0]


def test_a_run_records_its_people_and_says_so(run):
    about = Checkpoints(run, read_only=True).describe()
    assert about.trained_on == People.of([f"test:p{i:02d}" for i in range(4)])
    assert about.selected_on == People()
    summary = json.loads((run / "summary.json").read_text())
    assert summary["people"]["trained_on"] == "4 people of test"
    assert summary["people"]["warnings"] == [] and len(summary["model"]["weights_sha256"]) == 64
    assert "4 people of test" in (run / "report.html").read_text()
    model = pretrained.load_pretrained(run)
    assert model.trained_on == about.trained_on and model.selected_on == People()
    parts = model.to_parts()
    assert parts.trained_on == about.trained_on.to_json()
    assert parts.extra[SELECTED_ON] == People().to_json()


def test_scoring_the_training_people_refuses_or_marks_them(run, shards):
    changes = {"mode": "evaluate", "evals.zero_shot.split": "train"}
    with pytest.raises(leakage.TrainedOn, match="config.evals.zero_shot would score 4 of the 4"):
        evaluate(recipe(shards, **changes), run)
    assert not (run / "evaluation" / "summary.json").exists()
    changes["evals.trained_on_people"] = "mark"
    summary = evaluate(recipe(shards, **changes), run)
    with (run / "evaluation" / "scores" / "zero_shot.csv").open() as f:
        assert [row["trained_on"] for row in csv.DictReader(f)] == ["1"] * 4
    assert "trained on 4 of the 4 people" in summary["zero_shot"]["notes"][0]
    page = (run / "evaluation" / "report.html").read_text()
    assert (
        "<strong>PEOPLE</strong> this model was trained on 4 of the 4" in page
        and "their rows in scores/ are marked" in page
    )


def test_a_run_that_would_score_its_own_people_stops_before_it_begins(shards, run, tmp_path):
    workdir = epath.Path(tmp_path)
    with pytest.raises(leakage.TrainedOn, match="config.evals.zero_shot"):
        train.train(recipe(shards, **{"evals.zero_shot.split": "train"}), workdir)
    assert not (tmp_path / "metrics.jsonl").exists()
    # The people of the model that a run starts from count as well.
    turned = tmp_path / "turned"
    shutil.copytree(shards, turned)
    text = (turned / "recordings.jsonl").read_text()
    for i in range(4):
        a, b = f"test:p{i:02d}", f"test:p{i + 4:02d}"
        text = text.replace(a, "swap").replace(b, a).replace("swap", b)
    (turned / "recordings.jsonl").write_text(text)
    with pytest.raises(leakage.TrainedOn, match="4 of the 4 people of split 'test'"):
        train.train(recipe(turned, init_from=str(run)), workdir)


def test_training_tells_the_overlap_before_its_first_step(run_and_log):
    said = run_and_log[1]
    (overlap,) = (i for i, line in enumerate(said) if "1 of its 2 people are trained on" in line)
    (first,) = (i for i, line in enumerate(said) if "step 1 " in line or "step 1/" in line)
    assert overlap < first
    assert any("shards (test): none of its 4 people trained on" in line for line in said)
