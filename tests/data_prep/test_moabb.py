import argparse
import warnings

import numpy as np
import pytest
import scipy.io
from layouts import prepare, records

from data_prep.corpora.base import CorpusError
from data_prep.corpora.moabb_sets import MoabbSets, open_set
from elm_jax.data.manifest import Manifest, load_recordings

pytest.importorskip("moabb")
pytestmark = pytest.mark.filterwarnings("ignore")
CLASSES = np.array(["left hand", "right hand", "feet", "tongue"], object)


def session(folder, name, seed, n_runs=2):
    """A session of BNCI2014_001 where moabb keeps it. Returns its runs ``[t, c]`` in uV."""
    rng, runs = np.random.default_rng(seed), np.empty(n_runs, object)
    for k in range(n_runs):
        x = rng.normal(size=(250 * 40, 25)).cumsum(axis=0)
        x -= np.linspace(0, 1, len(x))[:, None] * x[-1]
        runs[k] = {
            "X": x, "trial": 250 * np.array([[3], [12], [21], [30]]) + 1, "fs": 250,
            "y": np.array([[1], [2], [3], [4]]), "classes": CLASSES, "artifacts": np.zeros(4),
            "gender": "male", "age": 22,
        }  # fmt: skip
    path = folder / "MNE-bnci-data" / "~bci" / "database" / "001-2014" / f"{name}.mat"
    path.parent.mkdir(parents=True, exist_ok=True)
    scipy.io.savemat(path, {"data": runs})
    return [run["X"] for run in runs]


@pytest.fixture(scope="module")
def downloads(tmp_path_factory):
    """Two people as moabb keeps them, a third whose file is broken; and the runs of the first."""
    folder = tmp_path_factory.mktemp("mne_data")
    runs = session(folder, "A01T", 0) + session(folder, "A01E", 1)
    for name in ("A02T", "A02E", "A03T", "A03E"):
        session(folder, name, 2)
    (folder / "MNE-bnci-data" / "~bci" / "database" / "001-2014" / "A03E.mat").write_bytes(b"?")
    people = folder / "people.txt"
    people.write_text("A01\nA02\nA03\n")
    return folder, people, runs


@pytest.fixture
def run(downloads, monkeypatch):
    folder, people, _ = downloads
    monkeypatch.setenv("MNE_DATA", "/elsewhere")

    def call(out, *more):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given = ("--moabb_set", "BNCI2014_001", "--people", people)
            return prepare("moabb", folder, out, *given, *more)

    return call


def test_windows_begin_with_the_interval_of_the_data_set_and_know_session_and_run(
    run, downloads, tmp_path
):
    import mne

    more = ("--cut", "events", "--event_labels", "left_hand,feet", "--test_people", "A01")
    assert run(tmp_path / "out", *more) == 0
    manifest = Manifest.load(tmp_path / "out")
    assert manifest.people["test"] == ("bcic2a:A01",)
    assert manifest.counts["skipped"] == {"bad_array": 1, "person_not_listed": 6}
    (row,) = load_recordings(tmp_path / "out", "test")
    # The interval of this set is 2 to 6 s after the trial's begin; runs of 40 s follow each other.
    assert [p.start_s for p in row.pieces] == pytest.approx(
        [40.0 * k + t for k in range(4) for t in (5.0, 23.0)]
    )
    assert [p.labels for p in row.pieces][4:6] == [
        {"session": "1test", "run": "0", "event": "left_hand", "event_class": 0},
        {"session": "1test", "run": "0", "event": "feet", "event_class": 1},
    ]
    raw = mne.io.RawArray(downloads[2][0][:, :22].T * 1e-6, mne.create_info(22, 250.0, "eeg"),
                          verbose="ERROR")  # fmt: skip
    raw.set_eeg_reference("average", projection=False, verbose="ERROR")
    raw.filter(0.1, 75.0, verbose="ERROR").resample(256, npad="auto", verbose="ERROR")
    names = "Fz FC3 FC1 FCz FC2 FC4 C5 C3 C1 Cz C2 C4 C6 CP3 CP1 CPz CP2 CP4 P1 Pz P2 POz".split()
    order = [names.index(name) for name in manifest.spec.channels]
    found = records(tmp_path / "out", "test")[0][2]
    expected_uv = raw.get_data()[order, 5 * 256 : 9 * 256] * 1e6
    np.testing.assert_allclose(found / 32, expected_uv, atol=0.05)


def test_runs_are_taken_whole_where_no_events_are_asked_for(run, tmp_path, capsys):
    assert run(tmp_path / "out", "--test_people", "A01") == 0
    (row,) = load_recordings(tmp_path / "out", "test")
    assert [(p.start_s, p.n_samples) for p in row.pieces] == [(40.0 * k, 10240) for k in range(4)]
    assert row.pieces[3].labels == {"session": "1test", "run": "1"}
    assert "labels" not in Manifest.load(tmp_path / "out").counts
    assert "configs/eegpt_pretrain.py" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "said"),
    [(None, "say which data set"), ("BNCI2014_01", "BNCI2014_001"), ("download", "no such data")],
)
def test_a_data_set_that_moabb_lacks_is_refused_with_those_it_has(name, said):
    with pytest.raises(CorpusError, match=said):
        open_set(name)


@pytest.mark.parametrize(
    ("name", "person"),
    [
        ("PhysionetMI", "eegmmidb:S001"),
        ("Schirrmeister2017", "hgd:1"),
        ("Wang2016", "tsu_ssvep:1"),
        ("Lee2019_MI", "moabb_Lee2019:1"),
        ("Lee2019_ERP", "moabb_Lee2019:1"),
        ("Shin2017B", "moabb_Shin2017:1"),
        ("Zhou2016", "moabb_Zhou2016:1"),
    ],
)
def test_people_of_one_study_are_the_same_in_all_that_reads_it(tmp_path, name, person):
    given = {"moabb_set": name, "input": tmp_path, "event_labels": None, "institution": None}
    found = MoabbSets().sources(argparse.Namespace(cut="recordings", **given))
    assert found[0].person == person


def test_an_event_that_the_data_set_lacks_is_refused(run, tmp_path, capsys):
    assert run(tmp_path / "out", "--cut", "events", "--event_labels", "fist") == 2
    assert "has the events left_hand, right_hand, feet, tongue" in capsys.readouterr().err
