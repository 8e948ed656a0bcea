"""Exact search over a million vectors, against a plain product and full sort, in one run.

    python benchmarks/query.py [--vectors 1000000] [--width 256] [--rounds 15] [--cores 2]

Goals on two cores: one query, exact top 10, in at most 0.25 s; 100 queries in at most 3 s. The
vectors are in memory as float32; what is plain is ``np.argsort(-(vectors @ query))[:10]``, a query
at a time. ``--half`` searches a memory-mapped file of float16 as well.
"""

import argparse
import pathlib
import platform
import statistics
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import figures
from versus_torch import alternate, use_cores


def main() -> None:
    """Times one and a hundred queries and prints medians and ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--vectors", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--half", action="store_true")
    figures.add_json(parser)
    args = parser.parse_args()
    use_cores(args.cores)

    import numpy as np

    from elm_jax.query.search import ExactSearch

    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((args.vectors, args.width), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)  # so that the plain way is right
    queries = rng.standard_normal((100, args.width), dtype=np.float32)
    began = time.perf_counter()
    search = ExactSearch(vectors)
    print(
        f"{args.vectors} x {args.width} float32, {args.cores} cores, {platform.machine()}, numpy "
        f"{np.__version__}; vectors checked once in {time.perf_counter() - began:.2f} s"
    )

    def plain(query):
        return np.argsort(-(vectors @ query))[:10]

    measured = {}
    for asked, rounds in ((queries[:1], args.rounds), (queries, max(3, args.rounds // 5))):
        times = alternate(
            lambda asked=asked: search.top(asked, 10),
            # A hundred full sorts take half a minute: five stand for them.
            lambda asked=asked: [plain(q) for q in asked[:5]],
            rounds=rounds,
        )
        ours = statistics.median(times.ours)
        theirs = statistics.median(times.theirs) * len(asked) / min(len(asked), 5)
        print(
            f"{len(asked):4d} queries, exact top 10: median {ours:.3f} s of {rounds} "
            f"(fastest {min(times.ours):.3f}); plain {theirs:.3f} s, ratio {theirs / ours:.1f} "
            f"(other processes used {times.others:.0%} of the machine)"
        )
        measured[f"seconds/{len(asked)}_queries"] = ours
    figures.write(args.json, measured)
    some = queries[:10]
    found = search.top(some, 10).index
    same = sum(set(plain(q)) == set(rows) for q, rows in zip(some, found, strict=True))
    print(f"the same rows as the plain way: {same} of {len(some)} queries")
    if args.half:
        _half(ExactSearch, vectors, queries, args.rounds)


def _half(search_of, vectors, queries, rounds: int) -> None:
    import numpy as np

    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "vectors.npy"
        np.save(path, vectors.astype(np.float16))
        search = search_of(np.load(path, mmap_mode="r"))
        seconds = []
        for _ in range(rounds):
            began = time.perf_counter()
            search.top(queries[:1], 10)
            seconds.append(time.perf_counter() - began)
    print(f"   1 query, memory-mapped float16: median {statistics.median(seconds):.3f} s")


if __name__ == "__main__":
    main()
