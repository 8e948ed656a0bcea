"""The released 5 s weights on real recordings, through our own EDF path."""

import jax
import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

pytest.importorskip("torch", reason="the released weights are a PyTorch file")

from elm_jax.convert.elm import load_elm_checkpoint
from elm_jax.models.conv_eeg import ConvEeg
from elm_jax.models.heads import SignalProjector
from elm_jax.signals.pipeline import ELM_SPEC, EVAL_OPTIONS, prepare_file, windows


@pytest.fixture(scope="module")
def vectors(shared):
    """Golden and our own vectors of every window of the 24 recordings."""
    weights = shared / "weights" / "elm" / "5s" / "model_0_checkpoint.pt"
    edfs = sorted((shared / "data" / "eegmat").glob("*.edf"))
    if not weights.exists() or not edfs:
        pytest.skip(f"needs {weights} and the eegmat recordings")
    released = load_elm_checkpoint(weights)
    encoder = ConvEeg(**released.encoder_kwargs)
    projector = SignalProjector(**released.projector_kwargs)

    @jax.jit
    def embed(signal):
        features = encoder.apply(released.encoder, signal, train=False).pooled
        return features, projector.apply(released.projector, features, train=False)

    crops = []
    for path in edfs:
        pieces, judgement = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
        assert judgement.usable, (path.name, judgement.skipped)
        crops += [windows(piece.signal, ELM_SPEC) for piece in pieces]
    signal = np.concatenate(crops)
    padded = np.concatenate([signal, np.zeros((-len(signal) % 96, *signal.shape[1:]), np.float32)])
    parts = [embed(padded[i : i + 96]) for i in range(0, len(padded), 96)]
    emb, proj = (np.concatenate(part)[: len(signal)] for part in zip(*parts, strict=True))
    golden = np.load(shared / "golden" / "elm" / "eegmat_embeddings_5s.npz")
    return golden, {"emb": emb, "proj": proj}


@pytest.mark.parametrize("name", ["emb", "proj"])
def test_vectors_equal_the_reference_implementation(vectors, name):
    golden, ours = vectors
    assert ours[name].shape == golden[name].shape
    np.testing.assert_allclose(ours[name], golden[name], atol=2e-2)
    a, b = ours[name], golden[name]
    cosine = (a * b).sum(1) / np.linalg.norm(a, axis=1) / np.linalg.norm(b, axis=1)
    assert cosine.min() >= 0.9999


@pytest.mark.parametrize(("name", "expected"), [("emb", 0.695), ("proj", 0.724)])
def test_people_left_out_score_as_with_the_reference(vectors, name, expected):
    golden, ours = vectors
    model = make_pipeline(
        StandardScaler(), LogisticRegression(C=0.01, class_weight="balanced", max_iter=2000)
    )
    score = cross_val_predict(
        model,
        ours[name],
        golden["label"],
        groups=golden["subject"],
        cv=LeaveOneGroupOut(),
        method="decision_function",
    )
    assert roc_auc_score(golden["label"], score) == pytest.approx(expected, abs=0.005)
