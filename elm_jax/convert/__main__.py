"""``python -m elm_jax.convert SRC DST``: a model from any form into any other.

SRC: a workdir of ours (or its checkpoints folder, or one step in it), a ``.pt`` or ``.safetensors``
in ELM's published layout with its YAML beside it, a ``.ckpt`` of EEGPT's or DARE-EEG's pretraining,
a saved folder, one that braindecode's EEGPT or SleepStagerChambon2018 saved, the id of such a
folder on the Hugging Face hub, weights of that stager or of the siamese network around it, or of
MERL, ST-MEM, MTAE or MLAE. DST:
NAME.pt, NAME.safetensors, a folder that stands alone, ``--to braindecode`` a folder that the
``from_pretrained`` of that class of braindecode reads, ``--to orbax`` a workdir that
``config.init_from`` takes, or ``--to hf_tower`` the image tower of a model of ECG pictures, as a
directory that transformers opens.
"""

import argparse
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TRANSFORMERS_NO_ADVISORY_WARNINGS", "1")

from etils import epath

from elm_jax import paths
from elm_jax.convert.engine import LoadReport
from elm_jax.convert.parts import ModelParts

KINDS = ("folder", "pt", "safetensors", "orbax", "braindecode", "hf_tower")


def arguments() -> argparse.ArgumentParser:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m elm_jax.convert", description=__doc__)
    parser.add_argument("source", metavar="SRC")
    parser.add_argument("target", metavar="DST")
    parser.add_argument("--to", choices=KINDS, help="kind of DST; by default told by its suffix")
    parser.add_argument(
        "--config", metavar="YAML", help="settings of a .pt, if not beside it, or of a .ckpt"
    )
    parser.add_argument("--step", type=int, help="of a workdir; its latest by default")
    parser.add_argument(
        "--n_outputs", type=int, help="classes of a head (of braindecode's classes, of a .ckpt)"
    )
    parser.add_argument("--mean", type=float, help="of the training signals, in network values")
    parser.add_argument("--std", type=float, help="likewise")
    parser.add_argument(
        "--leave_out",
        default="",
        metavar="NAMES",
        help="modules, separated by commas, that DST has no place for and that may go: of a .pt or "
        ".safetensors text_projector, text_tower, classifier; of braindecode's predictor, "
        "reconstructor, view_projector, and the classifier of pairs",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace what stands at DST")
    return parser


def kind_of(target: pathlib.PurePath, asked: str | None) -> str:
    """The kind of destination: as asked, or as the suffix says.

    Raises:
      ValueError: what is asked and the suffix contradict each other.
    """
    from elm_jax.convert.single_file import SUFFIXES

    by_suffix = next((kind for kind, own in SUFFIXES.items() if target.suffix in own), None)
    if asked in SUFFIXES and by_suffix != asked:
        raise ValueError(f"--to {asked}: DST must end in {' or '.join(SUFFIXES[asked])}: {target}")
    if asked is not None and asked not in SUFFIXES and by_suffix:
        raise ValueError(f"--to {asked} makes a folder, but {target} ends like a weights file")
    return asked or by_suffix or "folder"


def convert(
    parts: ModelParts,
    target: epath.Path,
    kind: str,
    *,
    leave_out: Sequence[str] = (),
    overwrite: bool = False,
) -> LoadReport:
    """Writes ``parts`` as one of :data:`KINDS`; returns what became of every tensor.

    Raises:
      ValueError: something is to be left out of a kind that has a place for everything.
    """
    from elm_jax.convert import braindecode_folder, ecg_image, sleep_conv, sleep_folder
    from elm_jax.convert.folder import write_folder
    from elm_jax.convert.single_file import write_single_file
    from elm_jax.convert.workdir import write_workdir

    whole = {"folder": write_folder, "orbax": write_workdir}
    if kind in whole:
        if leave_out:
            raise ValueError(f"--leave_out means nothing for --to {kind}: it holds all modules")
        return whole[kind](parts, target, overwrite=overwrite)
    write: Callable[..., LoadReport] = write_single_file
    if kind == "braindecode":
        stager = parts.recipe["encoder"]["name"] == sleep_conv.NAME
        write = (sleep_folder if stager else braindecode_folder).write_folder
    if kind == "hf_tower":
        write = ecg_image.write_tower
    return write(parts, target, leave_out=leave_out, overwrite=overwrite)


def run(options: argparse.Namespace) -> None:
    """Reads, converts, and prints both reports."""
    from elm_jax.convert.card import LICENCE_NOTES
    from elm_jax.sources import read_parts

    target = paths.of(options.target)
    kind = kind_of(target, options.to)
    parts = read_parts(
        options.source, config=options.config, step=options.step, n_outputs=options.n_outputs
    )
    parts = parts.with_moments(options.mean, options.std)
    if parts.report is not None:
        print(f"read     {parts.report}")
    leave_out = [name for name in options.leave_out.split(",") if name]
    report = convert(parts, target, kind, leave_out=leave_out, overwrite=options.overwrite)
    print(f"written  {target} as {kind}{'' if options.to else ' (as its name says)'}")
    print(f"         {report}")
    print(f"weights  sha256 {parts.weights_sha256} (of all of the source)")
    if parts.assumed:
        told = ", ".join(f"{name}={getattr(parts.spec, name)}" for name in parts.assumed)
        print(f"notice   the source does not tell {told}: assumed (--mean, --std)")
    if parts.origin:
        print(f"licence  {LICENCE_NOTES[parts.origin]}")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; a mistake of the user's is one message and exit code 2."""
    options = arguments().parse_args(argv)
    try:
        with paths.told():
            run(options)
    except (ValueError, OSError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
