"""ECG-Byte from shards to vectors through the command line, and what it says of mistakes."""

import csv
import json
import pickle
import subprocess
import sys

import numpy as np
import pytest
from tiny_ecg import LEADS, SPEC, write_tiny_ecg
from tiny_shards import write_tiny_shards

from data_prep.ecg_byte.__main__ import main
from data_prep.ecg_byte.list_file import RecordList
from data_prep.ecg_byte.records import EcgRecords
from elm_jax.data.ecg_byte import EcgByte
from elm_jax.data.ecg_byte.token_file import TokenFile
from elm_jax.signal2vec import load


def run(*words):
    assert main([str(word) for word in words]) == 0


def mistake(capsys, *words):
    capsys.readouterr()
    assert main([str(word) for word in words]) == 2
    return capsys.readouterr().err


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return write_tiny_ecg(tmp_path_factory.mktemp("ecg") / "shards", flat=1)


@pytest.fixture(scope="module")
def made(shards, tmp_path_factory):
    """A folder with what each command wrote of the tiny shards."""
    folder = tmp_path_factory.mktemp("made")
    tokens, given = folder / "tokens.npz", ("--tokenizer", folder / "t.json")
    run("sample", shards, "--records", 6, "--seed", 3, "--out", folder / "list.txt")
    run("train", shards, "--list", folder / "list.txt", "--merges", 40, "--out", folder / "t.json")
    run("encode", shards, *given, "--out", tokens)
    run("decode", tokens, *given, "--out", folder / "signals.npy", "--compare", shards)
    run("stats", tokens, *given, "--out", folder / "usage")
    small = ("--pairs", 2000, "--width", 8, "--batch_pairs", 500, "--min_count", 1)
    run("signal2vec", tokens, *given, *small, "--subsample", 0, "--out", folder / "v.npz")
    return folder


def test_a_tokenizer_knows_its_signal_and_how_its_records_were_drawn(made):
    tokenizer = EcgByte.load(made / "t.json")
    assert tokenizer.layout.channels == LEADS
    assert (tokenizer.layout.sfreq_hz, tokenizer.layout.window_s) == (50.0, 2.0)
    assert tokenizer.vocab_size == 66
    training = tokenizer.training
    assert (training["records"], training["symbols"]) == (6, 6 * 3 * 100)
    assert training["simulated"] is True and training["splits"] == ["train"]
    assert training["drawn"] == list(RecordList.load(made / "list.txt").drawn)
    assert "drawn: 6 at random, seed 3" in training["drawn"]


def test_every_record_of_every_split_is_encoded_but_flat_ones_which_are_listed(made, shards):
    tokens = TokenFile.load(made / "tokens.npz")
    assert len(tokens) == 14 and tokens.meta["splits"] == ["train", "test"]
    assert tokens.meta["flat"] == ["rec 00 at 0 s", "rec 00 at 2 s"]
    assert tokens.recording[:2] == ("rec 01", "rec 01") and tokens.start_s[:2].tolist() == [0, 2]
    records, tokenizer = EcgRecords(shards), EcgByte.load(made / "t.json")
    row = records.find(["rec 07"], [2.0])
    alone = tokenizer.encode(records.read(row)[0])
    assert np.array_equal(alone.ids, tokens[13].ids)
    assert alone[1:] == tokens[13][1:]


def test_decoded_signals_are_within_half_a_level_of_the_shards(made, shards, capsys):
    given = ("--tokenizer", made / "t.json", "--out", made / "again.npy", "--compare", shards)
    run("decode", made / "tokens.npz", *given)
    said = capsys.readouterr().out
    levels = float(said.split("off by ")[1].split(" levels")[0])
    assert 0.4 < levels <= 0.5001
    signals = np.load(made / "signals.npy")
    assert signals.shape == (14, 3, 100) and signals.dtype == np.float32


def test_statistics_count_every_token(made):
    tokens = TokenFile.load(made / "tokens.npz")
    with open(made / "usage/tokens.csv") as file:
        rows = list(csv.DictReader(file))
    assert sum(int(row["count"]) for row in rows) == len(tokens.ids)
    assert sum(int(row["count"]) * int(row["length"]) for row in rows) == 14 * 300
    assert len(rows) == 66 and rows[0]["count"] >= rows[1]["count"]
    numbers = json.loads((made / "usage/summary.json").read_text())
    assert numbers["symbols_per_token"] == pytest.approx(14 * 300 / len(tokens.ids))
    for name in ("token_lengths", "token_usage", "tokens_per_record"):
        assert (made / f"usage/{name}.png").read_bytes().startswith(b"\x89PNG")


def test_vectors_have_a_row_an_id_and_each_trained_token_its_neighbours(made):
    vectors, meta = load(made / "v.npz")
    assert vectors.vector.shape == (66, 8)
    assert meta["tokenizer"] == EcgByte.load(made / "t.json").digest
    with open(made / "v.neighbours.csv") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10 * vectors.trained.sum()
    assert all(row["id"] != row["neighbour_id"] for row in rows)
    assert (made / "v.png").exists()


def test_the_same_commands_write_the_same_bytes_and_another_seed_other_ones(made, shards, tmp_path):
    given = ("--tokenizer", made / "t.json")
    small = ("--pairs", 2000, "--width", 8, "--batch_pairs", 500, "--min_count", 1)
    commands = {
        "list.txt": ("sample", shards, "--records", 6, "--seed", 3),
        "t.json": ("train", shards, "--list", made / "list.txt", "--merges", 40),
        "tokens.npz": ("encode", shards, *given),
        "v.npz": ("signal2vec", made / "tokens.npz", *given, *small, "--subsample", 0),
    }
    for name, words in commands.items():
        run(*words, "--out", tmp_path / name)
        assert (tmp_path / name).read_bytes() == (made / name).read_bytes(), name
    run("sample", shards, "--records", 6, "--seed", 4, "--out", tmp_path / "other.txt")
    assert (tmp_path / "other.txt").read_text() != (made / "list.txt").read_text()
    run(*commands["v.npz"], "--seed", 1, "--out", tmp_path / "other.npz")
    assert (tmp_path / "other.npz").read_bytes() != (made / "v.npz").read_bytes()


def test_encoding_follows_a_list_in_its_order(made, shards, tmp_path):
    (tmp_path / "mine.txt").write_text("recording\tstart_s\nrec 07\t2\nrec 03\t0.0\n")
    given = ("--list", tmp_path / "mine.txt", "--tokenizer", made / "t.json")
    run("encode", shards, *given, "--out", tmp_path / "tokens.npz")
    assert TokenFile.load(tmp_path / "tokens.npz").recording == ("rec 07", "rec 03")


def test_a_released_pickle_is_imported_and_says_what_was_assumed(tmp_path, capsys):
    vocab = {b: chr(b) if b < 128 else f"<{b}>" for b in range(256)} | {256: "mm"}
    (tmp_path / "t.pkl").write_bytes(pickle.dumps((vocab, [([109, 109], 256)])))
    run("import", tmp_path / "t.pkl", "--leads", "standard", "--out", tmp_path / "t.json")
    assert "Assumed, since the file does not tell: sfreq_hz = 250.0" in capsys.readouterr().out
    tokenizer = EcgByte.load(tmp_path / "t.json")
    assert tokenizer.assumed == ("sfreq_hz", "window_s")
    assert tokenizer.layout.channels[3:5] == ("aVR", "aVL")
    (tmp_path / "bad.pkl").write_bytes(pickle.dumps(np.zeros(2)))
    said = mistake(capsys, "import", tmp_path / "bad.pkl", "--out", tmp_path / "bad.json")
    assert "refused" in said and "numpy" in said
    assert not (tmp_path / "bad.json").exists()


def test_what_does_not_fit_is_said_in_a_line_and_nothing_is_written(made, shards, tmp_path, capsys):
    given = ("--tokenizer", made / "t.json", "--out", tmp_path / "out")
    eeg = write_tiny_shards(tmp_path / "eeg", people=2, test_people=0)
    said = mistake(capsys, "encode", eeg, *given)
    assert "holds 'eeg' in 'uV', expected 'ecg' in 'mV'" in said
    fast = SPEC.replace(sfreq_hz=25.0, lowpass_hz=12.5, window_s=1.0)
    other = write_tiny_ecg(tmp_path / "other", people=2, test_people=0, spec=fast)
    said = mistake(capsys, "encode", other, *given)
    assert "sfreq_hz: expected 50.0, found 25.0" in said and "window_s: expected 2.0" in said
    (tmp_path / "mine.txt").write_text("recording\tstart_s\nrec 07\t1.0\n")
    said = mistake(capsys, "encode", shards, "--list", tmp_path / "mine.txt", *given)
    assert "1 of 1 records are not in train, test, the first: rec 07 at 1 s" in said
    run("train", shards, "--merges", 3, "--out", tmp_path / "small.json")
    small = ("--tokenizer", tmp_path / "small.json", "--out", tmp_path / "out")
    for command in ("decode", "stats", "signal2vec"):
        said = mistake(capsys, command, made / "tokens.npz", *small)
        assert "of 66 tokens, not by the one given" in said
    elsewhere = ("--tokenizer", made / "t.json", "--out", tmp_path / "out")
    said = mistake(capsys, "decode", made / "tokens.npz", "--compare", other, *elsewhere)
    assert "split 'test' holds no recordings" in said
    said = mistake(capsys, "stats", tmp_path / "none.npz", *given)
    assert "none.npz: No such file" in said
    assert "not a tokenizer file" in mistake(
        capsys, "stats", made / "tokens.npz", "--tokenizer", made / "usage/summary.json",
        "--out", tmp_path / "out",
    )  # fmt: skip
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["sample", "D", "--records", "0", "--out", "F"], "expected a whole number from 1"),
        (
            ["sample", "D", "--records", "5", "--share", "equal", "--out", "F"],
            "--share say nothing",
        ),
        (["import", "P", "--leads", "I,I", "--out", "F"], "each once"),
        (["import", "P", "--leads", "I,FOO", "--out", "F"], "expected wanted, standard or leads"),
        (["import", "P", "--sfreq_hz", "nan", "--out", "F"], "expected a number"),
        (["encode", "D", "--out", "F"], "--tokenizer"),
        ([], "COMMAND"),
    ],
)
def test_mistakes_in_the_command_are_named(words, expected, capsys):
    with pytest.raises(SystemExit):
        main(words)
    assert expected in capsys.readouterr().err


def test_a_file_is_the_old_one_or_the_new_one(made, tmp_path, monkeypatch):
    path = tmp_path / "tokens.npz"
    path.write_bytes(b"old")
    tokens = TokenFile.load(made / "tokens.npz")

    def fail(*_, **__):
        raise OSError("no space left")

    with monkeypatch.context() as patch:
        patch.setattr(np.lib.format, "write_array", fail)
        with pytest.raises(OSError, match="no space left"):
            tokens.save(path)
    assert path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1


def test_help_is_there_without_numba(tmp_path):
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "from data_prep.ecg_byte.__main__ import main\n"
        f"print(main(['train', {str(tmp_path / 'none')!r}, '--out', 'x']))\n"
        "main(['--help'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0 and "no such directory" in done.stderr
    assert "signal2vec" in done.stdout
