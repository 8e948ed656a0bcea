"""The table of peaks: every kind of device is told from its neighbours, and none is guessed."""

import pytest

from elm_jax.devices import peak_flops


@pytest.mark.parametrize(
    ("kind", "tera"),
    [
        ("TPU v4", 275),
        ("TPU v5 lite", 197),
        ("TPU v5e", 197),
        ("TPU v5", 459),
        ("TPU v5p", 459),
        ("TPU v6 lite", 918),
        ("NVIDIA A100-SXM4-40GB", 312),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA A100 80GB PCIe", 312),
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA H200", 989),
        ("NVIDIA B200", 2250),
    ],
)
def test_a_known_device_has_its_datasheets_dense_peak(kind, tera):
    assert peak_flops(kind, "bfloat16") == tera * 1e12
    assert peak_flops(kind, "float32") in (tera * 1e12, tera * 1e12 / 2)


@pytest.mark.parametrize(
    "kind", ["cpu", "", "TPU v4 lite", "NVIDIA H100 80GB HBM3 MIG 1g.10gb", "Radeon"]
)
def test_no_peak_is_guessed(kind):
    assert peak_flops(kind, "bfloat16") is None


def test_a_dtype_without_a_figure_has_none():
    assert peak_flops("TPU v5", "float64") is None
