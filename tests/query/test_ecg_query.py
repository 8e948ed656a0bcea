"""config.mode=query of ECGs: a prepared directory, and a WFDB record without one."""

import csv
import dataclasses
import struct

import pytest
from etils import epath
from tiny_leads import SPEC, write_tiny_leads
from tiny_pretrained import tiny_pretrained
from wfdb_records import beats, write_record

from configs import ecg_query
from elm_jax.query.ask import query

ENCODER = dict(name="resnet1d", blocks=(1, 1), width=4)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    home = tmp_path_factory.mktemp("model")
    spec = {f.name: getattr(SPEC, f.name) for f in dataclasses.fields(SPEC)}
    tiny_pretrained(home, encoder=ENCODER, **spec).save_pretrained(home / "saved")
    return home / "saved"


def ask(workdir, model, **settings):
    config = ecg_query.get_config()
    config.model, config.evals.rows_per_batch = str(model), 8
    config.data.dir = settings.pop("data", "")
    config.query.texts = ("Sinus rhythm.",)
    for key, value in settings.items():
        config.query[key] = value
    content = query(config, epath.Path(workdir))
    with open(workdir / "tables" / "query_segments.csv", encoding="utf-8") as file:
        return content, list(csv.DictReader(file))


def size_of(png):
    return struct.unpack(">II", png.read_bytes()[16:24])


def test_ecgs_of_a_directory_are_listed_and_drawn_in_the_layout_asked_for(model, tmp_path):
    data = str(write_tiny_leads(tmp_path / "data", people=6))
    content, rows = ask(tmp_path / "ask", model, data=data, plots=2, segments=4, layout="3x4")
    assert content["windows"] == 10 and len({row["recording"] for row in rows}) == 4
    drawn = sorted((tmp_path / "ask" / "figures").iterdir())
    assert [p.name for p in drawn] == ["query_1_segment_1.png", "query_1_segment_2.png"]
    # Of 4 s: 12 mm, 100 mm, 4 mm, in whole squares of 5 mm; 120 dots an inch.
    assert size_of(drawn[0])[0] == pytest.approx(120 * 120 / 25.4, abs=1)
    page = (tmp_path / "ask" / "report.html").read_text(encoding="utf-8")
    assert "generated ECG, not of people" in page and "generated EEG" not in page
    with pytest.raises(ValueError, match="config.query.layout is '4x3'; known: 3x4"):
        ask(tmp_path / "other", model, data=data, layout="4x3")


def test_one_record_is_asked_without_a_directory(model, tmp_path):
    record = write_record(tmp_path / "records", "one", beats(seconds=13.0))
    content, rows = ask(tmp_path / "ask", model, file=str(record), apart_s=1.0, plots=1)
    assert content["windows"] == 3  # of 4 s, of 13 s
    assert sorted(float(row["start_s"]) for row in rows) == [0.0, 4.0, 8.0]
    assert len(list((tmp_path / "ask" / "figures").iterdir())) == 1
