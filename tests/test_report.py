"""What a run leaves to look at: summary, CSV tables, printed lines, and the page in a browser."""

import csv
import json
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from etils import epath
from matplotlib.figure import Figure
from ml_collections import ConfigDict
from tiny_shards import tiny_spec

from elm_jax import report, results, tables
from elm_jax.evals import figures
from elm_jax.evals.base import EvalResult

TESTS = pathlib.Path(__file__).resolve().parent
EVIL = '</title><script>document.title="owned"</script><img src=x onerror=alert(1)>'


def drawing(n=1):
    figure = Figure(figsize=(2, 1))
    figure.subplots().plot(range(n + 1))
    return figure


def corpus(simulated=True, name="tiny"):
    counts = {"train": {"people": 8, "recordings": 9}, "test": {"people": 4, "recordings": 4}}
    manifest = SimpleNamespace(simulated=simulated, corpus=name, counts=counts)
    return SimpleNamespace(manifest=manifest, simulated=simulated, beside=())


def run_of(folder, evals, *, simulated=True, metrics=0, name="tiny", **more):
    """Writes a run with these evals' results; returns what summary.json holds."""
    folder = epath.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    config = ConfigDict({"data": {"dir": "shards/tiny"}, "seed": 3, "mode": "train"})
    config.encoder = {"name": "conv_eeg"}
    (folder / "config.json").write_text(config.to_json())
    rows = [{"step": i + 1, "loss": 1.0 / (i + 1), "learning_rate": 0.1} for i in range(metrics)]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
    settings = dict(spec=tiny_spec(), step=metrics, loss=0.5, seconds=1.25, model={}, people={})
    content = results.summary(config, corpus(simulated, name), evals, **(settings | more))
    return results.write_results(folder, content, evals, simulated=simulated)


def page_of(folder):
    return (folder / "report.html").read_text(encoding="utf-8")


WHOLE = {
    "zero_shot": EvalResult(
        scalars={"auroc": 0.9123, "auroc_low": 0.8, "auroc_high": 1.0, "recordings": 4},
        tables={
            "findings": [
                {
                    "finding": "abnormal",
                    "value": 0.9123,
                    "low": 0.8,
                    "high": 1.0,
                    "positives": 2,
                    "negatives": 2,
                }
            ],
            "budgets": [
                {"budget": "1 %", "auroc": 0.5, "auroc_low": 0.25, "auroc_high": 0.75},
                {"budget": "10 %", "auroc": np.float32(0.75), "people": np.int64(7)},
            ],
        },
        scores=({"recording": "rec=1", "person": "test:ü", "abnormal": 0.25},),
        figures={"zero_shot_roc": drawing(), "zero_shot_more": drawing(3)},
    ),
    "map": EvalResult(scalars={"pca_share_1": 0.5}, notes=("a note of the map",)),
}


# -- files and printed lines ---------------------------------------------------------------------


def test_what_is_no_number_is_null_and_numpy_becomes_json(tmp_path):
    table = [{"a": np.nan, "b": np.float32(0.5), "c": np.int64(3), "d": None}]
    scalars = {"x": np.float64("inf"), "y": np.float32(1.5)}
    content = run_of(tmp_path, {"e": EvalResult(scalars, {"t": table})})
    assert json.loads((tmp_path / "summary.json").read_text()) == content
    assert content["e"] == {"x": None, "y": 1.5, "t": [{"a": None, "b": 0.5, "c": 3, "d": None}]}


def test_a_table_of_any_columns_becomes_a_csv_with_every_digit(tmp_path):
    run_of(tmp_path, WHOLE)
    with (tmp_path / "tables" / "zero_shot_budgets.csv").open() as f:
        rows = list(csv.DictReader(f))
    assert [r["budget"] for r in rows] == ["1 %", "10 %"]
    assert rows[0]["people"] == "" and rows[1]["people"] == "7" and rows[1]["auroc_low"] == ""
    assert (tmp_path / "tables" / "zero_shot_findings.csv").read_text() == (
        "finding,value,low,high,positives,negatives\nabnormal,0.9123,0.8,1.0,2,2\n"
    )
    assert "rec=1,test:ü,0.25" in (tmp_path / "scores" / "zero_shot.csv").read_text("utf-8")


def test_intervals_share_a_cell_and_columns_are_aligned():
    assert tables.aligned(WHOLE["zero_shot"].tables["budgets"]) == [
        "budget                 auroc  people",
        "1 %     0.500 [0.250, 0.750]       –",
        "10 %                   0.750       7",
    ]
    rows = [{"what": "two\nlines", "value": 1e-7, "low": 0.0, "high": float("nan"), "n": True}]
    assert tables.aligned(rows)[1].split("  ") == ["two lines", "1.00e-07 [0.000, –]", "yes"]
    assert tables.aligned([]) == [""]


def test_short_tables_are_printed_and_long_ones_named(caplog):
    long = [{"i": i} for i in range(31)]
    result = EvalResult(tables={"long": long, "short": long[:30], "none": []}, notes=("why",))
    with caplog.at_level("INFO", logger="elm_jax"):
        results.print_result("probe", result, simulated=True)
    lines = [r.getMessage() for r in caplog.records]
    assert "  long: 31 rows in tables/probe_long.csv" in lines
    assert "  short (simulated)" in lines and lines.count("    29") == 1 and "    30" not in lines
    assert "probe      note: why" in lines


def test_scalars_and_findings_are_printed_with_their_intervals(caplog):
    more = {"ece": 0.1, "band_low": 0.0, "band_high": 0.2, "a": 1, "b": 2, "c": 3}
    result = WHOLE["zero_shot"]
    with caplog.at_level("INFO", logger="elm_jax"):
        results.print_result(
            "zero_shot", result._replace(scalars=result.scalars | more), simulated=True
        )
    lines = [r.getMessage() for r in caplog.records]
    assert lines[:3] == [
        "zero_shot  AUROC 0.912 [0.800, 1.000] (simulated)",
        "zero_shot  recordings 4, ECE 0.100, band [0.000, 0.200], a 1 (simulated)",
        "zero_shot  b 2, c 3 (simulated)",
    ]
    assert "    abnormal  0.912 [0.800, 1.000]          2          2" in lines


@pytest.mark.parametrize("name", ["../up", "a/b", "task=arithmetic", ".hidden", "ü 1", ""])
def test_a_name_cannot_leave_its_folder(name):
    stem = tables.file_stem(name)
    assert stem and not stem.startswith(".") and not re.search(r"[/\\\s]", stem)


def test_the_loss_figure_shows_validation_and_its_best_step_where_there_is_one():
    rows = [{"step": s, "loss": 1 / s, "learning_rate": 0.1, "epoch": s / 4} for s in range(1, 9)]
    (alone,) = figures.training_curves(rows, simulated=True)["loss"].axes
    assert alone.get_title().startswith("Training loss") and len(alone.lines) == 1
    rows[3] |= {"valid/loss": 0.5, "valid/best_step": 4}
    rows[7] |= {"valid/loss": "nan", "valid/best_step": 4}
    (axes,) = figures.training_curves(rows, simulated=True)["loss"].axes
    _, validation, best = axes.lines
    assert validation.get_xydata().tolist() == [[4, 0.5]]
    assert best.get_xdata() == [4, 4] and best.get_label() == "best: step 4, epoch 1"


def test_figures_of_two_evals_of_a_kind_have_files_of_their_own(tmp_path):
    two = {"stage": EvalResult(figures={"probe": drawing()})}
    two["age"] = EvalResult(figures={"probe": drawing(2), "scatter": drawing()})
    own = results.with_own_stems(two)
    assert [list(result.figures) for result in own.values()] == [
        ["stage_probe"],
        ["age_probe", "scatter"],
    ]
    run_of(tmp_path, own)
    assert page_of(tmp_path).count("<img") == 3
    assert results.with_own_stems(WHOLE) == WHOLE


def test_only_process_0_writes(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_index", lambda: 1)
    content = run_of(tmp_path, WHOLE, metrics=3)
    assert {p.name for p in tmp_path.iterdir()} == {"config.json", "metrics.jsonl"}
    monkeypatch.setattr(jax, "process_index", lambda: 0)
    assert run_of(tmp_path, WHOLE, metrics=3) == content


def test_of_two_processes_only_the_first_writes(tmp_path):
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    path = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    env = os.environ | {"PYTHONPATH": path, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, str(TESTS / "results_on_processes.py"), port]
    both = [
        subprocess.Popen(
            [*command, str(i), str(tmp_path)], env=env, stdout=subprocess.PIPE, text=True
        )
        for i in range(2)
    ]
    first, second = (json.loads(p.communicate(timeout=120)[0].splitlines()[-1]) for p in both)
    assert first[:2] == second[:2] == [True, 0.9123]
    assert "report.html" in first[2] and second[2] == ["config.json", "metrics.jsonl"]


# -- the page ------------------------------------------------------------------------------------


def test_a_run_without_numbers_and_figures_says_why(tmp_path):
    run_of(tmp_path, {"zero_shot": EvalResult(notes=("split 'test' holds no recordings",))})
    page = page_of(tmp_path)
    assert (
        "split &#39;test&#39; holds no recordings" in page and "No numbers: see the notes" in page
    )
    assert "<img" not in page and "<h2>Figures" not in page and "<h2>Tables" not in page


def test_a_run_without_any_eval_has_a_page(tmp_path):
    run_of(tmp_path, {}, simulated=False)
    assert "SIMULATED" not in page_of(tmp_path) and "conv_eeg" in page_of(tmp_path)


def test_texts_of_data_stay_texts(tmp_path):
    evil = EvalResult(
        tables={EVIL: [{EVIL: EVIL, "n": 1}]},
        scores=({"recording": EVIL, "person": "test:1"},),
        figures={EVIL: drawing()},
        notes=(EVIL,),
    )
    run_of(tmp_path / "run", {"evil": evil, "zero": evil}, name=EVIL, model={"source": EVIL})
    page = page_of(tmp_path / "run")
    assert page.count("<script") == 0 and "onerror=alert" in page  # as text
    assert len(re.findall("<title>.*</title>", page)) == 1
    assert not re.search(r"<img(?! src=\"data:image/png;base64,)", page)
    written = {p.relative_to(tmp_path).parts[:2] for p in tmp_path.rglob("*")}
    kinds = ("figures", "scores", "tables", "summary.json", "report.html", "config.json")
    assert written == {("run",), ("run", "metrics.jsonl"), *(("run", k) for k in kinds)}


def test_the_page_needs_nothing_from_outside_itself(tmp_path):
    run_of(tmp_path, WHOLE, metrics=3)
    page = page_of(tmp_path)
    assert "http-equiv" in page and "default-src 'none'" in page
    sources = re.findall(r'src="(.{10})', page)
    assert len(sources) == 4 and set(sources) == {"data:image"}
    links = set(re.findall(r'href="([^"]*)"', page))
    assert links and all((tmp_path / link).exists() for link in links)
    assert not re.search(r"url\(|@import|<link|<script|https?://", page)


def test_a_huge_table_is_cut_with_a_link_to_all_of_it(tmp_path):
    rows = [{"recording": f"rec{i:05d}", "x": i / 7} for i in range(10_000)]
    run_of(tmp_path, {"e": EvalResult(tables={"big": rows}, scores=tuple(rows))})
    page = page_of(tmp_path)
    assert len(page) < 40_000 and "rec00029" in page and "rec00030" not in page
    assert 'The first 30 of 10000 rows; all of them: <a href="tables/e_big.csv"' in page
    assert 'The first 12 of 10000 rows; all of them: <a href="scores/e.csv"' in page


def test_figures_of_an_earlier_evaluation_are_not_shown(tmp_path):
    run_of(tmp_path, WHOLE)
    run_of(tmp_path, {"map": WHOLE["map"]})
    assert (tmp_path / "figures" / "zero_shot_roc.png").exists()
    assert "<img" not in page_of(tmp_path)


def test_many_scalars_stand_below_one_another_and_wide_figures_take_a_row(tmp_path):
    many = {f"x_{i}": float(i) for i in range(6)}
    wide = Figure(figsize=(4, 1))
    run_of(tmp_path, {"few": WHOLE["map"], "many": EvalResult(many, figures={"w": wide})})
    page = page_of(tmp_path)
    assert "<th>measure</th>" in page and page.count('<th class="right">PCA share 1</th>') == 1
    assert page.count('<figure class="wide">') == 1


def test_a_damaged_figure_is_a_note_and_the_rest_is_there(tmp_path):
    run_of(tmp_path, WHOLE)
    path = tmp_path / "figures" / "zero_shot_roc.png"
    path.write_bytes(path.read_bytes()[:500])
    (tmp_path / "figures" / "zero_shot_more.png").unlink()
    report.write(tmp_path)
    page = page_of(tmp_path)
    assert "the figure zero_shot_roc is missing or damaged" in page and "<img" not in page
    assert "the figure zero_shot_more is missing" in page and "0.912" in page


def test_the_page_comes_back_the_same_from_what_is_on_disk(tmp_path):
    run_of(tmp_path, WHOLE, metrics=3)
    first = page_of(tmp_path)
    shutil.copytree(tmp_path, tmp_path / "evaluation")
    (tmp_path / "report.html").unlink()
    done = subprocess.run(
        [sys.executable, "-m", "elm_jax.report", str(tmp_path)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    pages = [str(tmp_path / "report.html"), str(tmp_path / "evaluation" / "report.html")]
    assert done.stdout.split() == pages
    assert page_of(tmp_path) == first
    assert f"<h1>{tmp_path.name}: evaluation</h1>" in page_of(tmp_path / "evaluation")


def test_runs_of_before_and_unfinished_ones_have_a_page(tmp_path):
    old = {"simulated": True, "corpus": "demo", "counts": {}, "step": 2, "zero_shot": {"auroc": 1}}
    (tmp_path / "summary.json").write_text(json.dumps(old))
    assert "zero shot" in report.build(epath.Path(tmp_path))
    run_of(tmp_path, WHOLE, metrics=3)
    (tmp_path / "summary.json").unlink()
    assert "NOT FINISHED" in report.build(epath.Path(tmp_path))


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(report.NoRun, match="not a run's folder"):
        report.write(tmp_path)
    (tmp_path / "summary.json").write_text("{")
    with pytest.raises(ValueError, match=r"summary.json: not JSON"):
        report.write(tmp_path)
    assert not (tmp_path / "report.html").exists()
    for argv in ([], ["--help"], [str(tmp_path / "typo")]):
        with pytest.raises(SystemExit) as stopped:
            report.main(argv)
        assert stopped.value.code == 2


# -- in a real browser ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def browser():
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)
    if path is None:
        pytest.skip("no Chromium in PATH: install Debian's package 'chromium' to look at the page")
    sync_api = pytest.importorskip("playwright.sync_api")
    with sync_api.sync_playwright() as playwright:
        quiet = ["--disable-quic", "--disable-background-networking", "--disable-component-update"]
        chromium = playwright.chromium.launch(executable_path=path, args=quiet)
        yield chromium
        chromium.close()


def test_chromium_keeps_short_texts_on_a_line_and_long_ones_readable(browser, tmp_path):
    row = {"way": "EEG to report", "text": "slow waves over the left temporal region " * 3}
    row |= {f"recall_at_{k}": 0.5 for k in (1, 5, 10)}
    row |= {f"recall_at_{k}_{end}": 0.5 for k in (1, 5, 10) for end in ("low", "high")}
    run_of(tmp_path, {"retrieval": EvalResult(tables={"recall": [row] * 2})})
    for width in (1200, 360):
        page = browser.new_page(viewport={"width": width, "height": 800})
        page.goto((tmp_path / "report.html").as_uri())
        rects = "c => { const r = document.createRange(); r.selectNodeContents(c);"
        lines = "return new Set([...r.getClientRects()].map(x => x.top)).size; }"
        of_way, of_text = (
            page.get_by_role("cell", name=row[k].strip()).first.evaluate(rects + lines)
            for k in ("way", "text")
        )
        assert of_way == 1 and of_text <= 5
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [1200, 360])
def test_chromium_shows_every_figure_and_table_and_asks_for_nothing(
    browser, tmp_path, width, scheme
):
    wide = [{f"a column {i}": "x" * 30 for i in range(20)} | {"text": "word" * 200}]
    evil = EvalResult(tables={"wide": wide, EVIL: [{EVIL: EVIL}]}, notes=(EVIL, "n" * 500))
    run_of(tmp_path, WHOLE | {"evil": evil}, metrics=3, model={"weights_sha256": "ab" * 32})
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    said, asked = [], []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("request", lambda request: asked.append(request.url))
    page.goto((tmp_path / "report.html").as_uri())
    assert page.title() == f"{tmp_path.name} · elm_jax"
    sizes = page.eval_on_selector_all(
        "img", "images => images.map(i => i.complete * Math.min(i.naturalWidth, i.naturalHeight))"
    )
    assert len(sizes) == 4 and min(sizes) > 50
    visible = [t for t in page.query_selector_all("table") if t.is_visible()]
    assert len(visible) == 7  # two of scalars, two of zero_shot, two of evil, the last logged step
    assert not page.get_by_text("rec=1").is_visible()
    page.get_by_text("zero shot: 1 rows").click()
    assert page.get_by_text("rec=1").is_visible()
    # Wide tables scroll inside themselves, the page does not.
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width > 700:  # as wide as paper
        page.emulate_media(media="print")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.emulate_media(media="screen")
    ground = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (ground == "rgb(255, 255, 255)") == (scheme == "light")
    assert said == [] and {url.partition(":")[0] for url in asked} <= {"file", "data"}
    assert len([url for url in asked if url.startswith("file:")]) == 1
    page.close()
