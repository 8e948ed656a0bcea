"""A recording from EDF file to vectors: ours against mne and a PyTorch twin, in one run.

    python benchmarks/edf_to_vectors.py [--minutes 20] [--rounds 7] [--runs 3] [--cores 2] [FILE]

Ours is what ``Pretrained.embed`` does: read, band-pass, montage, clip, resample, cut, encoder and
projector of the released size, compiled before. Theirs: mne's words for the same steps (those of
``edf_to_features.py``), then a PyTorch twin with equal weights in batches of --torch_batch, eager,
without gradients. Both in this process on the same cores, in turn; the ratio is of medians. Of
several runs the one that other processes disturbed least is repeated at the end; believe it only
where they used about nothing, since PyTorch's threads lose most beside other work.

Without FILE a recording of 20 minutes at 250 Hz is simulated and written as EDF first.
"""

import argparse
import os
import pathlib
import statistics
import tempfile
import time

import figures
from versus_torch import Times, alternate, make_models, ratio_of, use_cores, versions


class Path:
    """One way from a file to vectors, in two timed parts.

    Attributes:
      signal_s: seconds of each call until the network's input is there.
      network_s: seconds of each call after that.
      processor_s: seconds of all threads of each call.
    """

    def __init__(self, to_windows, to_vectors):
        self._to_windows, self._to_vectors = to_windows, to_vectors
        self.signal_s: list[float] = []
        self.network_s: list[float] = []
        self.processor_s: list[float] = []

    def __call__(self, path: pathlib.Path):
        """Vectors [b, 256] of the file."""
        processor, began = time.process_time(), time.perf_counter()
        windows = self._to_windows(path)
        between = time.perf_counter()
        vectors = self._to_vectors(windows)
        self.signal_s.append(between - began)
        self.network_s.append(time.perf_counter() - between)
        self.processor_s.append(time.process_time() - processor)
        return vectors

    def share(self, rounds: int) -> str:
        """Medians of both parts over the last ``rounds`` calls."""
        signal, network = (statistics.median(x[-rounds:]) for x in (self.signal_s, self.network_s))
        whole = signal + network
        return (
            f"signal {1e3 * signal:.0f} ms ({signal / whole:.0%}), "
            f"network {1e3 * network:.0f} ms ({network / whole:.0%})"
        )


def make_ours(variables):
    """A finished model with the twin's weights."""
    from elm_jax.convert.parts import ModelParts
    from elm_jax.pretrained import from_parts
    from elm_jax.signals.pipeline import ELM_SPEC

    rows = {"encoder": variables["encoder"], "signal_projector": variables["projector"]}
    encoder = dict(
        name="conv_eeg",
        kernels=((4, 32, 1), (8, 32, 1), (16, 32, 1)),
        pool_sizes=(3, 2, 2, 2),
        dropout=0.0,
        res_dropout=0.0,
    )
    sizes = dict(signal_projection=(512, 256), text_projection=None)
    recipe = dict(dtype="float32", encoder=encoder, text=None)
    recipe["objective"] = dict(name="two_tower") | sizes
    params = {name: v["params"] for name, v in rows.items()}
    state = {"batch_stats": {name: v["batch_stats"] for name, v in rows.items()}}
    return from_parts(ModelParts(ELM_SPEC, recipe, params, state, source="benchmark"))


def make_theirs(twin, batch: int):
    """Windows to vectors by the twin."""
    import torch

    def to_vectors(windows):
        with torch.inference_mode():
            x = torch.from_numpy(windows)
            return torch.cat([twin(part)[1] for part in x.split(batch)]).numpy()

    return to_vectors


def describe(times: Times, ours: Path, theirs: Path) -> str:
    """The ratio, where the time goes in each, and the ratio of processor time.

    Beside other work processor time on one core (--cores 1) is the figure that still tells
    something; on more cores PyTorch's threads wait for each other at full speed.
    """
    a, b = (statistics.median(t) for t in (times.ours, times.theirs))
    pairs = sorted(t / o for o, t in zip(times.ours, times.theirs, strict=True))
    n = len(times.ours)
    used = [statistics.median(p.processor_s[-n:]) for p in (ours, theirs)]
    return (
        f"elm_jax {1e3 * a:.0f} ms, mne + PyTorch {1e3 * b:.0f} ms: ratio {b / a:.2f}, "
        f"{a / b:.2f} of the time (single pairs {pairs[0]:.2f} to {pairs[-1]:.2f}; other processes "
        f"used {times.others:.0%} of the machine, load {os.getloadavg()[0]:.1f})\n"
        f"  elm_jax: {ours.share(n)}\n  mne + PyTorch: {theirs.share(n)}\n"
        f"  processor time: {1e3 * used[0]:.0f} and {1e3 * used[1]:.0f} ms, ratio "
        f"{used[1] / used[0]:.2f}"
    )


def main() -> None:
    """Command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=pathlib.Path, help="a real EDF; else simulated")
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--torch_batch", type=int, default=64)
    figures.add_json(parser)
    args = parser.parse_args()
    cores = use_cores(args.cores)

    import edf_to_features
    import numpy as np

    twin, _, _, variables = make_models()
    twin.eval()
    model = make_ours(variables)
    ours = Path(edf_to_features.ours, lambda x: model.encode(x).projection)
    theirs = Path(edf_to_features.by_mne, make_theirs(twin, args.torch_batch))
    print(versions(cores))
    with tempfile.TemporaryDirectory() as folder:
        path = args.file
        if path is None:
            path = pathlib.Path(folder) / "simulated.edf"
            edf_to_features.write_simulated(path, args.minutes, 250, clipping=0)
        found, expected = ours(path), theirs(path)
        np.testing.assert_array_equal(found, model.embed(path).projection)
        difference = np.abs(found - expected).max() / np.abs(expected).max()
        print(
            f"{path.name}: {len(found)} windows; vectors differ by {difference:.1e} of the largest"
        )
        results = []
        for _ in range(args.runs):
            times = alternate(lambda: ours(path), lambda: theirs(path), rounds=args.rounds)
            results.append((times.others, describe(times, ours, theirs), 1 / ratio_of(times)))
            print(results[-1][1], flush=True)
    _, words, share = min(results)
    print(f"least disturbed of {args.runs}: {words}")
    figures.write(args.json, {"share_of_time": share})


if __name__ == "__main__":
    main()
