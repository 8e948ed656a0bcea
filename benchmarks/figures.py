"""How a benchmark hands its figures on: printed, and by ``--json FILE`` to benchmarks/run.py."""

import argparse
import json
import pathlib
from collections.abc import Mapping


def add_json(parser: argparse.ArgumentParser) -> None:
    """Adds ``--json FILE``."""
    parser.add_argument("--json", type=pathlib.Path, help="write the figures there, by name")


def show(figures: Mapping[str, float]) -> None:
    """Prints a line a figure."""
    width = max(map(len, figures))
    for name, value in figures.items():
        print(f"{name:{width}s}  {value:.4g}")


def write(path: pathlib.Path | None, figures: Mapping[str, float]) -> None:
    """Writes ``{name: number}``; nothing where no file was asked for."""
    if path:
        path.write_text(json.dumps({k: float(v) for k, v in figures.items()}, indent=1) + "\n")
