"""ECG-Byte: training beside a recount at every merge, encoding beside a trie in Python, memory.

    python benchmarks/ecg_byte.py [--ptbxl DIR] [--symbols 3000000] [--merges 1000] [--rounds 3]
                                  [--tokenizers] [--memory 30] [--json FILE]

DIR is PTB-XL: its records at 100 Hz are read by wfdb, 12,000 symbols each. Where there are too few,
they come again with noise of 0.01 mV, a fresh draw each time. Without DIR the records are simulated
(data_prep.corpora.simulated_ecg).

Both trainers are compiled by numba before the clock starts, use one thread and must give the same
merges; the recount keeps its counts in a dense table, which is quicker than a hash map. Processor
time, both sides in turn, the median of their rounds. ``--tokenizers`` times Hugging Face's trainer
once (wall time, as many threads as it likes); its tokens are not compared, since it counts runs
otherwise. ``--memory`` trains on so many million symbols in a process of its own: peak memory
over what it had before, symbols included (below some 20 million it hides in what was freed before).
300 takes 2.6 GB and a minute.
"""

import argparse
import pathlib
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import figures
import numpy as np

from elm_jax.data.ecg_byte.symbols import LETTERS, SYMBOLS, to_symbols, to_text
from elm_jax.data.ecg_byte.training import train_merges
from elm_jax.data.ecg_byte.trie import Trie

NOISE_MV = 0.01
SIMULATED_PEOPLE = 300
EDGE = 65535  # between records, in the recount's text


def recount_of() -> Callable:
    """The naive trainer, compiled: all pairs are counted again at every merge."""
    from numba import njit

    @njit(nogil=True)
    def recount(ids, merges, pairs):
        n = len(ids)
        counts = np.zeros((SYMBOLS + merges, SYMBOLS + merges), np.int32)
        for done in range(merges):
            size = SYMBOLS + done
            counts[:size, :size] = 0
            for i in range(n - 1):
                if ids[i] != EDGE and ids[i + 1] != EDGE:
                    counts[ids[i], ids[i + 1]] += 1
            best, first, second = 0, 0, 0
            for a in range(size):
                for b in range(size):
                    if counts[a, b] > best:
                        best, first, second = counts[a, b], a, b
            pairs[done, 0], pairs[done, 1] = first, second
            read, write = 0, 0
            while read < n:
                if read + 1 < n and ids[read] == first and ids[read + 1] == second:
                    ids[write] = size
                    read += 2
                else:
                    ids[write] = ids[read]
                    read += 1
                write += 1
            n = write

    return recount


def base_records(folder: pathlib.Path | None) -> list[np.ndarray]:
    """Signals in millivolts ``[12, 1000]``: PTB-XL's, or simulated ones."""
    if folder is None:
        from data_prep.corpora.simulated_ecg.exams import draw_exams
        from data_prep.corpora.simulated_ecg.simulate import simulate

        exams = draw_exams(SIMULATED_PEOPLE, 0)
        return [simulate(exam, 0).leads_mv[:, ::5].astype(np.float32) for exam in exams]
    import wfdb

    headers = sorted(folder.glob("records100/*/*_lr.hea"))
    if not headers:
        sys.exit(f"{folder}: holds no records100/*/*_lr.hea; give the folder of PTB-XL")
    records = [wfdb.rdrecord(str(h.with_suffix(""))).p_signal.T for h in headers]
    return [record.astype(np.float32) for record in records]


def texts_of(records: list[np.ndarray], symbols: int) -> Iterator[np.ndarray]:
    """Symbols of records until there are so many; the records as they are, then with noise."""
    rng, made = np.random.default_rng(0), 0
    while made < symbols:
        for record in records:
            noise = rng.normal(0, NOISE_MV, record.shape) if made >= len(records) * 12_000 else 0
            text = to_symbols(record + noise).symbols[: symbols - made]
            made += len(text)
            yield text
            if made == symbols:
                return


def timed(work: Callable[[], object]) -> tuple[float, object]:
    """Processor seconds, and what came of it."""
    began = time.process_time()
    found = work()
    return time.process_time() - began, found


def train_speed(texts: list[np.ndarray], merges: int, rounds: int) -> dict[str, float]:
    """Seconds of both trainers, and their ratio."""
    recount = recount_of()
    small = [texts[0][:500]]
    train_merges(small, 3)
    recount(np.zeros(9, np.uint16), 1, np.zeros((1, 2), np.int64))
    edge = np.asarray([EDGE], np.uint16)
    joined = np.concatenate([part for text in texts for part in (text.astype(np.uint16), edge)])
    seconds: dict[str, list[float]] = {"ours": [], "recount": []}
    for _ in range(rounds):
        pairs, ids = np.zeros((merges, 2), np.int64), joined.copy()
        took, _ = timed(lambda ids=ids, pairs=pairs: recount(ids, merges, pairs))
        seconds["recount"].append(took)
        took, found = timed(lambda: train_merges(texts, merges))
        seconds["ours"].append(took)
        if not np.array_equal(found.pairs, pairs):
            sys.exit("the two trainers disagree")
    middle = {name: statistics.median(values) for name, values in seconds.items()}
    ratio = middle["recount"] / middle["ours"]
    return {"train_s": middle["ours"], "recount_s": middle["recount"], "train_ratio": ratio}


def tokenizers_speed(texts: list[np.ndarray], merges: int) -> dict[str, float]:
    """Wall seconds of Hugging Face's trainer."""
    from tokenizers import Tokenizer, models, trainers

    tokenizer = Tokenizer(models.BPE())
    trainer = trainers.BpeTrainer(
        vocab_size=SYMBOLS + merges, initial_alphabet=list(LETTERS), show_progress=False
    )
    letters = [to_text(text) for text in texts]
    began = time.perf_counter()
    tokenizer.train_from_iterator(letters, trainer)
    return {"tokenizers_wall_s": time.perf_counter() - began}


def plain_encode(root: dict, text: list[int]) -> list[int]:
    """Longest match by nested dicts."""
    ids, place, end = [], 0, len(text)
    while place < end:
        node, at = root, place
        while at < end and (node := node.get(text[at])) is not None:
            at += 1
            if "id" in node:
                token, after = node["id"], at
        ids.append(token)
        place = after
    return ids


def encode_speed(texts: list[np.ndarray], merges: int, rounds: int) -> dict[str, float]:
    """Symbols a second of ours and of a trie of dicts, with the vocabulary of these texts."""
    strings = list(LETTERS)
    for first, second in train_merges(texts, merges).pairs:
        strings.append(strings[first] + strings[second])
    trie, root = Trie(strings), {}
    for token, string in enumerate(strings):
        node = root
        for letter in string:
            node = node.setdefault(ord(letter) - ord("a"), {})
        node["id"] = token
    joined, begin = np.concatenate(texts), np.cumsum([0, *map(len, texts)])
    few = [text.tolist() for text in texts[:20]]
    trie.encode(joined[: len(texts[0])], begin[:2])
    ours, plain = [], []
    for _ in range(rounds):
        took, (ids, _) = timed(lambda: trie.encode(joined, begin))
        ours.append(len(joined) / took)
        took, lists = timed(lambda: [plain_encode(root, text) for text in few])
        plain.append(sum(map(len, few)) / took)
    expected = [i for own in lists for i in own]
    if ids[: len(expected)].tolist() != expected:
        sys.exit("the two encoders disagree")
    rates = statistics.median(ours), statistics.median(plain)
    return {
        "encode_m_per_s": rates[0] / 1e6,
        "encode_ratio": rates[0] / rates[1],
        "tokens": float(len(ids)),
    }


def memory_bytes(field: str) -> int:
    """What this process has (VmRSS), or the most that it had since it last forgot (VmHWM)."""
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(f"{field}:")) * 1024


def measure_memory(folder: pathlib.Path | None, millions: int, merges: int) -> None:
    """Prints: bytes a symbol at the peak, processor seconds, tokens left (in a process alone)."""
    records = base_records(folder)
    train_merges([to_symbols(records[0]).symbols[:500]], 3)
    pathlib.Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of compiling
    before = memory_bytes("VmRSS")
    texts = list(texts_of(records, millions * 1_000_000))
    took, found = timed(lambda: train_merges(iter_once(texts), merges))
    grown = memory_bytes("VmHWM") - before
    print(grown / (millions * 1e6), took, len(found.ids))


def iter_once(texts: list[np.ndarray]) -> Iterator[np.ndarray]:
    """Gives texts away one by one, so that whoever copies them need not hold them twice."""
    texts.reverse()
    while texts:
        yield texts.pop()


def memory(args: argparse.Namespace) -> dict[str, float]:
    """Bytes a symbol, gigabytes and seconds at each size, each in a process of its own."""
    out = {}
    for millions in args.memory:
        words = [sys.executable, __file__, "--child", str(millions), "--merges", str(args.merges)]
        words += ["--ptbxl", str(args.ptbxl)] if args.ptbxl else []
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        each, took, _ = map(float, done.stdout.split())
        out[f"bytes_per_symbol/{millions}m"] = each
        out[f"memory_gb/{millions}m"] = each * millions / 1e3
        out[f"train_s/{millions}m"] = took
    return out


def main() -> None:
    """Prints all figures."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ptbxl", type=pathlib.Path, help="the folder of PTB-XL")
    parser.add_argument("--symbols", type=int, default=3_000_000)
    parser.add_argument("--merges", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--tokenizers", action="store_true", help="time Hugging Face's, too")
    parser.add_argument("--memory", type=int, nargs="*", default=[30], metavar="MILLIONS")
    parser.add_argument("--child", type=int, help=argparse.SUPPRESS)
    figures.add_json(parser)
    args = parser.parse_args()
    if args.child:
        measure_memory(args.ptbxl, args.child, args.merges)
        return
    texts = list(texts_of(base_records(args.ptbxl), args.symbols))
    kind = "PTB-XL" if args.ptbxl else "simulated ECGs"
    print(f"{kind}: {len(texts)} records, {args.symbols:,} symbols, {args.merges:,} merges")
    found = train_speed(texts, args.merges, args.rounds)
    found |= encode_speed(texts, args.merges, args.rounds)
    if args.tokenizers:
        found |= tokenizers_speed(texts, args.merges)
    found |= memory(args)
    figures.show(found)
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
