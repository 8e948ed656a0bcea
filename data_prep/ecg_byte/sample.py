"""Drawing records to train a tokenizer on: at random, or by clusters of like looks."""

import numpy as np
from tqdm import tqdm

from data_prep.ecg_byte.list_file import RecordList
from data_prep.ecg_byte.morphology import Clusters, divide, features, quotas
from data_prep.ecg_byte.records import EcgRecords, RecordsError
from elm_jax.axes import Float, Int
from elm_jax.data.ecg_byte.symbols import is_flat


def draw_at_random(records: EcgRecords, count: int, *, seed: int) -> RecordList:
    """Draws ``count`` records, each as likely as any other; flat ones do not count.

    Raises:
      RecordsError: there are not that many.
    """
    _require_enough(records, count, len(records))
    order = np.random.default_rng(seed).permutation(len(records))
    chosen: list[int] = []
    flat = 0
    for rows, signal in records.batches(order):
        moving = [int(r) for r, x in zip(rows, signal, strict=True) if not is_flat(x)]
        flat += len(rows) - len(moving)
        chosen += moving
        if len(chosen) >= count:
            break
    _require_enough(records, count, len(chosen), flat)
    drawn = (*_whence(records), f"drawn: {count} at random, seed {seed}")
    return _listed(records, np.sort(chosen[:count]), drawn)


def draw_by_clusters(
    records: EcgRecords,
    count: int,
    *,
    clusters: int,
    components: int,
    share: str,
    seed: int,
    threads: int,
) -> RecordList:
    """Draws ``count`` records out of clusters of like looks; flat records are in none.

    Args:
      records: to draw from.
      count: how many.
      clusters: how many to form.
      components: principal components to form them on.
      share: "proportional" or "equal", see :func:`quotas`.
      seed: of k-means and of the draw.
      threads: for k-means and BLAS.

    Raises:
      RecordsError: there are not that many records.
      ValueError: more clusters than records.
    """
    rows, looks = _looks(records)
    _require_enough(records, count, len(rows), len(records) - len(rows))
    found = divide(looks, clusters=clusters, components=components, seed=seed, threads=threads)
    sizes = np.bincount(found.of, minlength=clusters)
    wanted = quotas(sizes, count, share)
    rng = np.random.default_rng(seed)
    members = [np.flatnonzero(found.of == k) for k in range(clusters)]
    chosen = [rng.choice(own, n, replace=False) for own, n in zip(members, wanted, strict=True)]
    index = np.sort(np.concatenate(chosen))
    drawn = (*_whence(records), *_told(found, count, share, seed, len(records) - len(rows)))
    drawn += tuple(
        f"cluster {k}: {size} records, {n} drawn"
        for k, (size, n) in enumerate(zip(sizes, wanted, strict=True))
    )
    return _listed(records, rows[index], drawn, found.of[index])


def _told(found: Clusters, count: int, share: str, seed: int, flat: int) -> tuple[str, ...]:
    clusters = int(found.of.max()) + 1
    return (
        f"drawn: {count} by morphological clusters, {share}, seed {seed}",
        f"clusters: {clusters} by k-means on {found.components} principal components "
        f"({found.explained:.1%} of the variance) of {found.features} features",
        f"flat records, in no cluster: {flat}",
    )


def _looks(records: EcgRecords) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "n f"]]:
    """The records that are not flat, and their features."""
    kept, looks = [], []
    every = np.arange(len(records))
    with tqdm(total=len(every), desc="features", unit="record", disable=None) as bar:
        for rows, signal in records.batches(every):
            moving = np.asarray([not is_flat(x) for x in signal])
            if moving.any():
                kept.append(rows[moving])
                looks.append(features(signal[moving], records.layout.sfreq_hz))
            bar.update(len(rows))
    if not kept:
        raise RecordsError(f"{records.directory}: every record is flat")
    return np.concatenate(kept), np.concatenate(looks)


def _require_enough(records: EcgRecords, count: int, found: int, flat: int = 0) -> None:
    if not 1 <= count <= found:
        beside = f" ({flat} more are flat)" if flat else ""
        raise RecordsError(
            f"{records.directory}: cannot draw {count} records of {found} in "
            f"{', '.join(records.splits)}{beside}"
        )


def _whence(records: EcgRecords) -> tuple[str, ...]:
    return (f"of: {records.said()}", f"leads: {', '.join(records.layout.channels)}")


def _listed(
    records: EcgRecords,
    rows: Int[np.ndarray, " n"],
    drawn: tuple[str, ...],
    cluster: Int[np.ndarray, " n"] | None = None,
) -> RecordList:
    names = tuple(records.recording[row] for row in rows)
    starts = tuple(float(s) for s in records.start_s[rows])
    return RecordList(names, starts, () if cluster is None else tuple(map(int, cluster)), drawn)
