"""metrics.jsonl: a curve that survives kills and never runs twice."""

import json
import subprocess
import sys

import pytest

from elm_jax.metrics import MetricsWriter, read_metrics


def write(workdir, steps, *, resumed_step=0):
    writer = MetricsWriter(workdir, resumed_step=resumed_step)
    for step in steps:
        writer.write(step, {"loss": 1.0 / step})
    writer.close()


def test_a_last_line_cut_off_by_a_kill_is_dropped_on_resume(tmp_path):
    write(tmp_path, [1, 2, 3])
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text()[:-9])
    assert [r["step"] for r in read_metrics(tmp_path)] == [1, 2]
    write(tmp_path, [3, 4], resumed_step=2)
    assert [json.loads(line)["step"] for line in path.read_text().splitlines()] == [1, 2, 3, 4]


def test_rows_after_the_restored_step_are_cut(tmp_path):
    write(tmp_path, [1, 2, 3, 4])
    write(tmp_path, [3, 4, 5], resumed_step=2)
    assert [r["step"] for r in read_metrics(tmp_path)] == [1, 2, 3, 4, 5]


def test_a_broken_line_in_the_middle_is_an_error_with_its_number(tmp_path):
    write(tmp_path, [1, 2])
    path = tmp_path / "metrics.jsonl"
    path.write_text("{broken\n" + path.read_text())
    with pytest.raises(ValueError, match=r"metrics.jsonl:1 is not JSON: '\{broken'"):
        read_metrics(tmp_path)


def test_numbers_that_json_has_not_are_text(tmp_path):
    writer = MetricsWriter(tmp_path)
    writer.write(1, {"loss": float("nan"), "other": float("inf")})
    writer.write(2, {"auroc": 0.5}, log_line=False)
    writer.close()
    assert read_metrics(tmp_path) == [{"step": 1, "loss": "nan", "other": "inf"}]


def test_writing_a_curve_imports_no_pytorch_and_leaves_it_importable(tmp_path):
    pytest.importorskip("torch")
    code = (
        "import sys; from elm_jax.metrics import MetricsWriter;"
        f"w = MetricsWriter({str(tmp_path)!r}); w.write(1, {{'loss': 1.0}}); w.close();"
        "assert not any(n.split('.')[0] == 'torch' for n in sys.modules);"
        "import importlib.util; assert importlib.util.find_spec('torch')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
    assert next((tmp_path / "tensorboard").iterdir()).stat().st_size > 0
