"""How a benchmark hands its figures on: ``--json FILE``, which benchmarks/run.py collects."""

import argparse
import json
import pathlib
from collections.abc import Mapping


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds ``--json FILE``."""
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there, by name")


def write(path: pathlib.Path | None, figures: Mapping[str, float]) -> None:
    """Writes ``{name: number}``; nothing where no file was asked for."""
    if path:
        path.write_text(json.dumps({k: float(v) for k, v in figures.items()}, indent=1) + "\n")
