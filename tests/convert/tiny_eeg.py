"""Models of EEGPT's kind with a few thousand parameters, of every sort that can be saved."""

from tiny_parts import tiny_parts

from elm_jax.models.adapters import TEN_TWENTY
from elm_jax.signals.profiles import EEGPT_SPEC

SPEC = EEGPT_SPEC.replace(channels=("Fp1", "C3", "Cz", "T4", "O1", "Oz", "P3", "P4"), window_s=1.0)
ENCODER = dict(
    name="eeg_transformer", width=16, depth=1, heads=2, summary_tokens=2, patch_size=32,
    patch_stride=32, patch_norm=False, norm_eps=1e-6,
)  # fmt: skip
LABELS = dict(name="side", kind="multiclass", classes=["left", "right", "rest"])
HEADS = dict(predictor=dict(depth=1), reconstructor=dict(depth=1, width=8))
STACK = dict(
    name="conv_stack", channels=list(TEN_TWENTY), layers=2, norm=True, temporal_kernel=5,
    temporal_padding="same", dropout=0.1,
)  # fmt: skip
OBJECTIVES = {
    "features": dict(name="two_tower", signal_projection=None, text_projection=None),
    "masked": dict(name="masked_dual", **HEADS),
    "aligned": dict(name="dual_aligned", projection=[12, 6], temperature=0.2, **HEADS),
    "two_stage": dict(
        name="classify", labels=LABELS, head=dict(name="two_stage"),
        adapter=dict(name="conv", channels=list(TEN_TWENTY)),
    ),
    "mlp": dict(
        name="classify", labels=LABELS, adapter=STACK,
        head=dict(name="mlp", hidden=[10, 6], per_token=True, dropout=[0.5, 0.3]),
    ),
    "attention": dict(
        name="classify", labels=dict(name="age", kind="regression", mean=50.0, std=9.0),
        head=dict(name="attention", hidden=[10]), adapter=dict(name="none", samples=128),
    ),
    "linear": dict(
        name="classify", labels=LABELS, head=dict(name="linear", max_norm=None),
        adapter=dict(name="linear", channels=list(TEN_TWENTY)),
    ),
}  # fmt: skip


def tiny_eeg(kind, *, seed=0, spec=SPEC, **encoder):
    """Random parameters of a kind of :data:`OBJECTIVES`."""
    return tiny_parts(
        kind, seed=seed, spec=spec, encoder=ENCODER | encoder, objective=OBJECTIVES[kind]
    )
