"""The stacked signal is what ECG-Bench's preprocessors make of it, whole."""

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from elm_jax.images.paper import ImageError
from elm_jax.images.stacked import stack
from elm_jax.signals.ecg.leads import STANDARD_ORDER, WANTED_ORDER


def signals():
    return np.random.default_rng(0).normal(size=(2, 12, 500)).astype(np.float32)


@pytest.mark.parametrize("resample", ["bilinear", "bicubic"])
@pytest.mark.parametrize("size", [(48, 48), (32, 640)])
def test_it_is_the_record_in_grey_resized_as_pillow_resizes(resample, size):
    signal = signals()
    found = np.asarray(stack(jnp.asarray(signal), size, channels=WANTED_ORDER, resample=resample))
    assert found.shape == (2, *size, 3)
    method = getattr(Image.Resampling, resample.upper())
    for image, own in zip(found, signal, strict=True):
        grey = (own - own.min()) / (own.max() - own.min() + 1e-6)
        steps = Image.fromarray((grey * 255).astype(np.uint8))
        expected = np.asarray(steps.resize(size[::-1], method)) / 255
        # One step of grey for the cut to 256, one for Pillow's rounding.
        np.testing.assert_allclose(image, np.stack([expected] * 3, -1), atol=2.5 / 255)


def test_rows_are_leads_by_name_and_others_are_left_out():
    signal = signals()
    expected = stack(jnp.asarray(signal), (24, 24), channels=WANTED_ORDER)
    rows = [WANTED_ORDER.index(lead) for lead in STANDARD_ORDER]
    more = np.concatenate([signal[:, rows], 100 + signal[:, :1]], axis=1)
    found = stack(jnp.asarray(more), (24, 24), channels=(*STANDARD_ORDER, "Vx"))
    np.testing.assert_array_equal(found, expected)
    with pytest.raises(ImageError, match=r"missing \['V6'\]"):
        stack(jnp.asarray(signal[:, :11]), (24, 24), channels=WANTED_ORDER[:11])
    with pytest.raises(ImageError, match="known"):
        stack(jnp.asarray(signal), (24, 24), channels=WANTED_ORDER, resample="nearest")


def test_a_flat_record_is_black_and_not_nan():
    flat = np.full((1, 12, 50), 0.3, np.float32)
    np.testing.assert_array_equal(stack(jnp.asarray(flat), (24, 24), channels=WANTED_ORDER), 0)
