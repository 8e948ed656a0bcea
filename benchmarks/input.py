"""What reading gives, from the page cache, against what a training step takes.

    python benchmarks/input.py [--gb 1.2] [--seconds 8] [--cores 2] [--no_step] [--json FILE]

Simulated recordings of 20 minutes (noise; two stored pieces of 600 s, int16 [20, 60000]) are
written to a temporary directory, so all of them lie in the page cache. Then batches go through the
pipeline of a training run, tf.data included, as fast as they come:

* ``bags``: the published 5 s recipe, 80 recordings of 120 crops a batch (192 MB);
* ``pairs``: 256 single crops of 5 s, each 20 kB out of a piece of 2.4 MB.

``first``: while pieces are new to the process, which reads them whole and checks their checksums;
afterwards only what is needed of them is read. ``amplification`` is bytes read from files over
bytes given, afterwards. ``whole_pieces_crops_per_s`` is what pairs would get if pieces were always
read whole. The appetite is that of the whole MIL step (96 crops, text vectors given) on the same
cores, alone. ``memory`` is how far the process's own memory rose above what it was before the
first batch, over the bound that the pipeline gives: batches of threads, waiting and in use, and a
few pieces. ``restart_s`` is the time to the first batch when training starts at step 1,000,000,
``start_s`` at the first.
"""

import argparse
import concurrent.futures
import multiprocessing
import os
import pathlib
import sys
import tempfile
import threading
import time

sys.path.insert(1, str(pathlib.Path(__file__).resolve().parent.parent))  # configs, data_prep

import figures
import numpy as np
from versus_torch import use_cores

PIECES, PIECE_SAMPLES, WINDOW = 2, 60_000, 500
SENTENCES = 24
BAGS = dict(bags_per_batch=80, crops_per_bag=120, segments_per_bag=SENTENCES)
PAIRS = dict(pairs_per_batch=256)
STEP_BAGS, STEP_CROPS = 16, 6


def write_shards(directory: str, gb: float) -> None:
    """Recordings of noise, as a prepared directory of about ``gb`` of signals."""
    from configs import common
    from data_prep.write_shards import InMemory, write_dataset
    from elm_jax.data.spec import SignalSpec

    noise = np.random.default_rng(0).normal(0, 30, (20, 2 * PIECES * PIECE_SAMPLES))
    noise = noise.astype(np.float32)
    size = PIECES * PIECE_SAMPLES
    recordings = [
        InMemory(f"r{i}", f"simulated:p{i}", "train", (noise[:, 97 * i % size :][:, :size],))
        for i in range(max(round(gb * 1e9 / (40 * size)), BAGS["bags_per_batch"]))
    ]
    spec = SignalSpec.from_dict(common.elm_signal(5.0) | {"mean": 0.0, "std": 1.0})
    write_dataset(directory, recordings, spec, min_shards=8)


def make_batches(directory: str, kind: str):
    """A fresh reader's batches, and the reader."""
    from elm_jax.data.pipeline import BagPipeline, Windows
    from elm_jax.data.samplers import BagSampler, PairSampler
    from elm_jax.data.shards import ShardReader
    from elm_jax.data.text import TextTable

    reader = ShardReader(directory, "train")
    windows = Windows.of(reader.recordings, WINDOW)
    n = len(reader.recordings)
    crops, segments = windows.counts(n), [SENTENCES] * n
    if kind == "bags":
        sampler = BagSampler(crops, segments, **BAGS)
    else:
        sampler = PairSampler(crops, segments, **PAIRS)
    texts = TextTable(tuple(map(str, range(SENTENCES))), {"text_emb": _text_vectors(SENTENCES)})
    rows = [np.arange(SENTENCES)] * n
    return BagPipeline(reader, sampler, windows, texts, rows), reader


def _text_vectors(n: int) -> np.ndarray:
    return np.random.default_rng(1).normal(size=(n, 768)).astype(np.float32)


class Memory(threading.Thread):
    """Watches how far this process's own memory rises (pages of files are not counted)."""

    def __init__(self):
        super().__init__(daemon=True)
        self.before = self.peak = _own_bytes()
        self._stop_now = threading.Event()

    def __enter__(self) -> "Memory":
        self.start()
        return self

    def __exit__(self, *error) -> None:
        self._stop_now.set()
        self.join()

    def run(self) -> None:
        """Looks a hundred times a second."""
        while not self._stop_now.wait(0.01):
            self.peak = max(self.peak, _own_bytes())


def _own_bytes() -> int:
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def _read_bytes() -> int:
    """Bytes that system calls of this process have read so far."""
    line = pathlib.Path("/proc/self/io").read_text().splitlines()[0]
    return int(line.split()[1])


def rates(directory: str, kind: str, *, seconds: float, threads: int) -> dict[str, float]:
    """Crops and bytes a second of one kind of batches, when pieces are new and afterwards."""
    batches, reader = make_batches(directory, kind)
    found = {}
    with Memory() as memory:
        stream = batches.dataset(0, 10**9, threads=threads)
        batch = next(stream)
        batch_bytes, crop_bytes = sum(a.nbytes for a in batch.values()), batch["signal"][0].nbytes
        del batch
        for part in ("first_", ""):
            begin, read, given = time.perf_counter(), _read_bytes(), 0
            while (spent_s := time.perf_counter() - begin) < seconds:
                if part and (reader._signal_at >= 0).mean() > 0.9:
                    break  # what is left of the first pass is a few pieces
                given += int(next(stream)["signal_valid"].sum())
            found[f"{kind}_{part}crops_per_s"] = given / spent_s
            found[f"{kind}_{part}gb_per_s"] = given * crop_bytes / spent_s / 1e9
            found[f"{kind}_{part}amplification"] = (_read_bytes() - read) / (given * crop_bytes)
            for index in np.flatnonzero(reader._signal_at < 0):
                reader.read(int(index))
        stream.close()
    from elm_jax.data.read_ahead import AHEAD

    piece_bytes = 40 * PIECE_SAMPLES
    # Each thread's own batch, those that wait, one in use; readers hold and buffer a few pieces.
    bound = (threads + AHEAD + 1) * batch_bytes + (threads + 8) * 3 * piece_bytes
    found[f"{kind}_memory_mb"] = (memory.peak - memory.before) / 1e6
    found[f"{kind}_memory"] = (memory.peak - memory.before) / bound
    return found


def whole_pieces(directory: str, seconds: float) -> float:
    """Crops a second where a piece is read for each, by one thread."""
    reader = make_batches(directory, "pairs")[1]
    order = np.random.default_rng(0).permutation(len(reader))
    begin, done = time.perf_counter(), 0
    while time.perf_counter() - begin < seconds:
        reader.read(int(order[done % len(order)]))[:, :WINDOW].copy()
        done += 1
    return done / (time.perf_counter() - begin)


def restart_s(directory: str) -> dict[str, float]:
    """From nothing to the first batch, at the first step and at a late one."""
    found = {}
    for name, step in (("start_s", 0), ("restart_s", 1_000_000)):
        begin = time.perf_counter()
        batches, _ = make_batches(directory, "pairs")
        next(batches.dataset(step, step + 10, threads=2))
        found[name] = time.perf_counter() - begin
    return found


def appetite(directory: str, rounds: int = 7) -> float:
    """Crops a second that the whole MIL training step takes, when it never waits."""
    import jax

    from configs import elm_5s
    from elm_jax.build import build_objective
    from elm_jax.data.pipeline import to_network
    from elm_jax.data.samplers import BatchPlan
    from elm_jax.optim import make_optimizer
    from elm_jax.schedules import RunLength
    from elm_jax.sharding import make_mesh
    from elm_jax.state import init_state
    from elm_jax.step import make_step

    batches, reader = make_batches(directory, "bags")
    plan = BatchPlan(
        np.arange(STEP_BAGS),
        np.tile(np.arange(STEP_CROPS), (STEP_BAGS, 1)),
        np.tile(np.arange(STEP_CROPS), (STEP_BAGS, 1)),
    )
    batch, manifest = batches.assemble(plan), reader.manifest
    config = elm_5s.get_config()
    prepare = to_network(manifest.spec, manifest.steps_per_unit)
    objective = build_objective(config, manifest.spec, None)
    mesh = make_mesh({"data": -1})
    with jax.set_mesh(mesh):
        state, optimizer = init_state(
            objective,
            jax.eval_shape(prepare, batch),
            make_tx=lambda p: make_optimizer(
                config.optimizer.to_dict(), p, RunLength(100, 100, len(batch["signal"]))
            ),
            overlay=lambda p: p,
            seed=0,
            mesh=mesh,
            rules=config.sharding,
        )
        step = make_step(objective, optimizer, prepare, seed=0)
        times = []
        for _ in range(rounds + 1):
            begin = time.perf_counter()
            state, measures = step(state, batch)
            float(measures["loss"])
            times.append(time.perf_counter() - begin)
    return len(batch["signal"]) / min(times[1:])


def main() -> None:
    """Prints and writes all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--gb", type=float, default=1.2, help="of signals, in all")
    parser.add_argument("--seconds", type=float, default=8, help="for each measurement")
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--no_step", action="store_true", help="leave the training step out")
    figures.add_json(parser)
    args = parser.parse_args()
    use_cores(args.cores)
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with tempfile.TemporaryDirectory() as folder:
        shards = str(pathlib.Path(folder) / "shards")
        spawn = multiprocessing.get_context("spawn")
        with concurrent.futures.ProcessPoolExecutor(1, mp_context=spawn) as other:
            other.submit(write_shards, shards, args.gb).result()  # whose memory is not ours
        import tensorflow  # noqa: F401  (not to be counted in the first batch's time or memory)

        found = {}
        for kind in ("bags", "pairs"):
            found |= rates(shards, kind, seconds=args.seconds, threads=args.cores)
        found["whole_pieces_crops_per_s"] = whole_pieces(shards, args.seconds / 2)
        found |= restart_s(shards)
        if not args.no_step:
            found["step_crops_per_s"] = appetite(shards)
            for kind in ("bags", "bags_first", "pairs", "pairs_first"):
                found[f"{kind}_over_step"] = (
                    found[f"{kind}_crops_per_s"] / found["step_crops_per_s"]
                )
    for name, value in found.items():
        print(f"{name:<26} {value:12,.2f}")
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
