"""What kinds of devices can do at most: the vendors' peak rates, one table for all.

The rates are dense ones (NVIDIA's datasheets print twice that, "with sparsity"), of one JAX device:
a TPU v2, v3 or 7x chip counts as two of them.

Sources:
  TPU: docs.cloud.google.com/tpu/docs/{v2,v3,v4,v5e,v5p,v6e,tpu7x}, "Peak compute per chip".
  NVIDIA: the datasheets of V100, A100, L4, L40S, H100, H200 (SXM, PCIe and NVL apart), HGX B200.
"""

import dataclasses
import re

TERA = 1e12
GIB = 2**30


@dataclasses.dataclass(frozen=True)
class Peaks:
    """The most that a device can do.

    Attributes:
      half: FLOP/s of matrix products of bfloat16 (V100: float16, it has no bfloat16).
      single: FLOP/s of those of float32 at JAX's default precision: on a TPU one pass of bfloat16,
        on NVIDIA since Ampere TF32.
      memory_bytes: of the device.
      bandwidth: bytes a second to and from it.
    """

    half: float
    single: float
    memory_bytes: float
    bandwidth: float


def _tpu(tera: float, memory_gib: float, gb_per_s: float) -> Peaks:
    return Peaks(tera * TERA, tera * TERA, memory_gib * GIB, gb_per_s * 1e9)


def _gpu(half: float, single: float, memory_gb: float, gb_per_s: float) -> Peaks:
    return Peaks(half * TERA, single * TERA, memory_gb * 1e9, gb_per_s * 1e9)


# Regex over the whole of `device.device_kind` -> peaks; first match wins. A share of a GPU (MIG)
# matches none of them: its peak is not its card's.
_KINDS: tuple[tuple[str, Peaks], ...] = (
    (r"TPU v2", _tpu(23, 8, 350)),
    (r"TPU v3", _tpu(61.5, 16, 450)),
    (r"TPU v4", _tpu(275, 32, 1228)),
    (r"TPU v5 ?(lite|e)", _tpu(197, 16, 819)),
    (r"TPU v5p?", _tpu(459, 95, 2765)),
    (r"TPU v6 ?(lite|e)", _tpu(918, 32, 1638)),
    (r"TPU7x", _tpu(1153.5, 96, 3690)),
    (r"Tesla V100-SXM.*", _gpu(125, 15.7, 32, 900)),
    (r"NVIDIA A100-.*40GB", _gpu(312, 156, 40, 1555)),
    (r"NVIDIA A100.*80GB.*", _gpu(312, 156, 80, 2039)),
    (r"NVIDIA L4", _gpu(121, 60, 24, 300)),
    (r"NVIDIA L40S", _gpu(362, 183, 48, 864)),
    (r"NVIDIA H100 PCIe", _gpu(756, 378, 80, 2000)),
    (r"NVIDIA H100 NVL", _gpu(835.5, 417.5, 94, 3938)),
    (r"NVIDIA H100( 80GB HBM3)?", _gpu(989, 494.5, 80, 3350)),
    (r"NVIDIA H200 NVL", _gpu(835.5, 417.5, 141, 4800)),
    (r"NVIDIA H200", _gpu(989, 494.5, 141, 4800)),
    (r"NVIDIA B200", _gpu(2250, 1125, 180, 8000)),
)
HALF = ("bfloat16", "float16")


def peaks(device_kind: str) -> Peaks | None:
    """The peaks of a kind of device, as ``jax.devices()[0].device_kind`` names it.

    Returns:
      None for a CPU and every kind that the table lacks.
    """
    for pattern, found in _KINDS:
        if re.fullmatch(pattern, device_kind):
            return found
    return None


def peak_flops(device_kind: str, dtype: str) -> float | None:
    """Dense FLOP/s of one device at most, in matrix products of a dtype.

    Args:
      device_kind: ``jax.devices()[0].device_kind``.
      dtype: "bfloat16", "float16" or "float32" (at JAX's default precision; see :class:`Peaks`).

    Returns:
      None where no vendor's figure is known: CPUs, other kinds, other dtypes.
    """
    found = peaks(device_kind)
    if found is None or dtype not in (*HALF, "float32"):
        return None
    return found.half if dtype in HALF else found.single
