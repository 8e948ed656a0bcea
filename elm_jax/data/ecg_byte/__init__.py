"""ECG-Byte: electrocardiograms as tokens, by byte-pair encoding of 26 levels.

:class:`EcgByte` is the door: signal to ids and back. Training and encoding are compiled by numba
(``pip install 'elm_jax[ecg]'``), which is imported when they begin.
"""

from elm_jax.data.ecg_byte.layout import EcgLayout as EcgLayout
from elm_jax.data.ecg_byte.tokenizer import EcgByte as EcgByte
from elm_jax.data.ecg_byte.tokenizer import EcgTokens as EcgTokens
