"""What a record looks like, in numbers; and records of like looks in clusters.

For each lead: how far it moves, how steep it is, skewness and kurtosis, and in which bands its
power lies; for all leads together the time between two beats and how alike beats are. Scaled to
unit variance, turned onto principal components, and divided by k-means.
"""

from typing import NamedTuple

import numpy as np

from elm_jax.axes import Float, Int

_BANDS_HZ = (
    (0.5, 5.0),
    (5.0, 15.0),
    (15.0, 40.0),
)  # baseline and T, P and QRS, steep QRS and noise
_BEAT_S = (0.3, 2.0)  # 200 to 30 beats a minute
_TINY = 1e-6


class Clusters(NamedTuple):
    """Records divided by their looks.

    Attributes:
      of: cluster of each record.
      features: how many there were that vary.
      components: onto how many they were turned.
      explained: share of the variance that these hold.
    """

    of: Int[np.ndarray, " n"]
    features: int
    components: int
    explained: float


def features(signal_mv: Float[np.ndarray, "n c t"], sfreq_hz: float) -> Float[np.ndarray, "n f"]:
    """The looks of records; finite for any finite signal, flat leads too."""
    x = signal_mv - signal_mv.mean(axis=-1, keepdims=True)
    square = x * x
    spread = np.sqrt(square.mean(axis=-1))
    unit = np.maximum(spread, _TINY)
    third, fourth = (square * x).mean(axis=-1), (square * square).mean(axis=-1)
    slope = np.diff(x, axis=-1) * np.float32(sfreq_hz)
    steep = np.abs(slope)
    amounts = [spread, np.ptp(x, axis=-1), steep.mean(axis=-1), steep.max(axis=-1)]
    shapes = [third / unit**3, fourth / unit**4, *_shares(x, sfreq_hz)]
    # Amounts differ by factors, shapes have long tails.
    columns = [np.log(a + _TINY) for a in amounts] + [np.arcsinh(s) for s in shapes]
    beats = _beats(slope, sfreq_hz)
    return np.concatenate([*columns, beats], axis=1).astype(np.float32)


def _shares(x: Float[np.ndarray, "n c t"], sfreq_hz: float) -> list[Float[np.ndarray, "n c"]]:
    """The share of each lead's power in each band."""
    spectrum = np.fft.rfft(x, axis=-1)
    power = spectrum.real**2 + spectrum.imag**2
    rate_hz = np.fft.rfftfreq(x.shape[-1], 1 / sfreq_hz)
    whole = power.sum(axis=-1) + _TINY
    inside = [(low <= rate_hz) & (rate_hz < high) for low, high in _BANDS_HZ]
    return [power[..., band].sum(axis=-1) / whole for band in inside]


def _beats(slope: Float[np.ndarray, "n c t"], sfreq_hz: float) -> Float[np.ndarray, "n 2"]:
    """Seconds after which steepness repeats itself best, and how well (1: exactly)."""
    energy = np.einsum("nct,nct->nt", slope, slope)
    energy -= energy.mean(axis=-1, keepdims=True)
    n = energy.shape[-1]
    spectrum = np.fft.rfft(energy, 2 * n, axis=-1)
    repeats = np.fft.irfft(spectrum.real**2 + spectrum.imag**2, axis=-1)[:, :n]
    low, high = (min(round(s * sfreq_hz), n - 1) for s in _BEAT_S)
    lags = repeats[:, low : high + 1]
    best = lags.argmax(axis=1)
    height = lags[np.arange(len(lags)), best] / np.maximum(repeats[:, 0], _TINY)
    return np.stack([(low + best) / sfreq_hz, height], axis=1)


def divide(
    looks: Float[np.ndarray, "n f"],
    *,
    clusters: int,
    components: int,
    seed: int,
    threads: int,
) -> Clusters:
    """Divides records into clusters of like looks.

    Args:
      looks: of :func:`features`.
      clusters: how many.
      components: at most so many principal ones.
      seed: of the first centres of k-means.
      threads: that BLAS and k-means may use.

    Raises:
      ValueError: more clusters than records, or no feature varies.
    """
    from sklearn.cluster import KMeans
    from sklearn.decomposition import PCA
    from threadpoolctl import threadpool_limits

    if not 1 <= clusters <= len(looks) or components < 1:
        raise ValueError(
            f"clusters={clusters}, components={components}: expected 1 to {len(looks)} clusters "
            "(as many as records), and at least one component"
        )
    x = looks.astype(np.float64)
    spread = x.std(axis=0)
    varies = spread > _TINY
    if not varies.any():
        raise ValueError(f"all {len(looks)} records look alike: they have no clusters")
    x = (x[:, varies] - x[:, varies].mean(axis=0)) / spread[varies]
    with threadpool_limits(limits=threads):
        pca = PCA(min(components, *x.shape), svd_solver="full")
        points = pca.fit_transform(x)
        kmeans = KMeans(clusters, n_init=3, random_state=seed)
        of = kmeans.fit_predict(points).astype(np.int64)
    explained = float(pca.explained_variance_ratio_.sum())
    return Clusters(of, int(varies.sum()), pca.n_components_, explained)


def quotas(sizes: Int[np.ndarray, " k"], total: int, share: str) -> Int[np.ndarray, " k"]:
    """How many records of each cluster.

    Args:
      sizes: of the clusters.
      total: to draw in all.
      share: "proportional" to their sizes (by largest remainder), or "equal": as many of each;
        small ones are taken whole, and the others make up for them.

    Raises:
      ValueError: more than there are, or an unknown word.
    """
    sizes = np.asarray(sizes, np.int64)
    if not 1 <= total <= sizes.sum():
        raise ValueError(f"cannot draw {total} of {sizes.sum()} records")
    if share == "proportional":
        wanted = total * sizes / sizes.sum()
        counts = np.floor(wanted).astype(np.int64)
        order = np.argsort(counts - wanted, kind="stable")  # largest remainder first
        counts[order[: total - counts.sum()]] += 1
        return counts
    if share != "equal":
        raise ValueError(f"share is {share!r}; known: proportional, equal")
    counts = np.zeros_like(sizes)
    while (left := total - counts.sum()) > 0:
        open_ = np.flatnonzero(counts < sizes)
        each = max(left // len(open_), 1)
        chosen = open_ if left >= len(open_) else open_[:left]
        counts[chosen] = np.minimum(counts[chosen] + each, sizes[chosen])
    return counts
