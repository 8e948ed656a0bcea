"""Losses and gradients of masked pretraining are those of the published code (golden values)."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from masked_models import Golden, part

from elm_jax.masked_objectives import dual_aligned
from elm_jax.masking import Masks
from elm_jax.models.eeg_transformer import EegTransformer
from elm_jax.models.layers import standardised
from elm_jax.objectives.dual_aligned import DualAligned
from elm_jax.trees import path_of


def by_path(tree):
    return {path_of(path): x for path, x in jax.tree_util.tree_leaves_with_path(tree)}


def given_views(objective, golden):
    """``objective`` with the golden file's masks and second view."""

    class GivenMasked(type(objective.masked)):
        def draw(self, key, batch):
            drawn = super().draw(key, batch)
            keep, asked = golden["mask_x"].astype(int), golden["mask_y"].astype(int)
            return drawn._replace(masks=Masks(keep, asked))

    class GivenViews(type(objective)):
        def second_view(self, batch, drawn, key=None):
            return golden["mask_x2"].astype(int)

    def fields(x):
        return {f.name: getattr(x, f.name) for f in dataclasses.fields(x)}

    masked = GivenMasked(**fields(objective.masked))
    return GivenViews(**fields(objective) | dict(masked=masked))


class Run(NamedTuple):
    """A golden file, its objective, and what that computes: compiled once."""

    golden: Golden
    objective: DualAligned
    model_state: dict
    batch: dict
    out: dict
    grads: dict


@pytest.fixture(scope="module", params=["nano", "embed4"])
def run(request, shared):
    """Embeddings of a golden file's batch, and gradients of EEGPT's loss."""
    golden = Golden(shared / "golden" / "eegpt" / f"{request.param}.npz")
    sizes = golden.sizes()
    encoder = EegTransformer(channels=(), depth=golden.depth("encoder"), **sizes)
    settings = dict(
        name="dual_aligned",
        predictor=dict(depth=golden.depth("predictor")),
        reconstructor=dict(depth=golden.depth("reconstructor")),
    )
    objective = given_views(dual_aligned(settings, encoder), golden)
    params = {name: golden.part(name) for name in ("encoder", "predictor", "reconstructor")}
    head, prefix = {"hidden": "0", "out": "2"}, "loss_mc.projection_head"
    params["view_projector"] = {
        ours: {
            "kernel": golden.state[f"{prefix}.{theirs}.weight"].T,
            "bias": golden.state[f"{prefix}.{theirs}.bias"],
        }
        for ours, theirs in head.items()
    }
    model_state = {"batch_stats": {}, "target": {"encoder": golden.part("target_encoder")}}
    signal = golden["x"]
    batch = {
        "signal": signal,
        "signal_valid": jnp.ones(len(signal), bool),
        "channel_id": jnp.tile(golden["chan_ids"].astype(jnp.int32), (len(signal), 1)),
    }
    params, model_state = jax.tree.map(jnp.asarray, (params, model_state))

    def loss(params):
        out, _ = objective.embed(params, model_state, batch, jax.random.key(0), train=True)
        terms, _ = objective.masked.terms(out, batch)
        return sum(terms.values()), out

    quick = {"xla_backend_optimization_level": "0"}  # compiled in half the time
    grads, out = jax.jit(jax.grad(loss, has_aux=True), compiler_options=quick)(params)
    return Run(golden, objective, model_state, batch, out, grads)


def test_every_term_is_the_published_one(run):
    golden = run.golden
    terms, report = run.objective.terms(run.out, run.batch)
    found = terms | report
    wanted = {
        "alignment": golden["loss_align"],
        "reconstruction": golden["loss_recon"],
        "view_contrast": golden["loss_mask_align"],
        "activation": golden["loss_act_reg"],
    }
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-5, err_msg=name)
    np.testing.assert_allclose(sum(terms.values()), golden["loss_dare"], atol=1e-5)
    assert run.objective.temperature == pytest.approx(golden.state["loss_mc.temperature"])
    for name, weight, raw in (
        ("mask_alignment", 0.1, "view_contrast"),
        ("activation_penalty", 1e-4, "activation"),
    ):
        np.testing.assert_allclose(terms[name], weight * report[raw], rtol=1e-6)
    masked, _ = run.objective.masked.terms(run.out, run.batch)
    np.testing.assert_allclose(sum(masked.values()), golden["loss_eegpt"], atol=1e-5)


def test_the_targets_are_the_published_ones(run):
    golden, masked = run.golden, run.objective.masked
    asked = golden["mask_y"].astype(int)
    patches = masked.patches(run.batch, asked)
    np.testing.assert_allclose(patches, golden["target_patches"], atol=1e-5)
    plain = dataclasses.replace(masked, normalised_patches=False).patches(run.batch, asked)
    np.testing.assert_allclose(standardised(plain, 1e-5), patches, atol=1e-6)
    assert not np.allclose(plain, patches, atol=0.1)


def test_gradients_are_the_published_ones(run):
    published = {k[11:]: v for k, v in run.golden.values.items() if k.startswith("grad_")}
    wanted = by_path(part({f"e.{name}": value for name, value in published.items()}, "e"))
    assert len(wanted) == 7  # five tensors, of which query, key and value are one
    found = by_path(run.grads["encoder"])
    for name, value in wanted.items():
        np.testing.assert_allclose(found[name], value, atol=1e-4, err_msg=name)
        assert np.abs(value).max() > 1e-3, name


CASES = {  # DARE-EEG's Module_Selection: what its code sums
    1: (dict(alignment=False), ("loss_recon", "loss_mask_align", "loss_act_reg")),
    4: (dict(mask_alignment=False), ("loss_recon", "loss_align")),
    5: ({}, ("loss_recon", "loss_align", "loss_mask_align", "loss_act_reg")),
}


@pytest.mark.parametrize("case", CASES)
def test_cases_sum_what_the_published_code_sums(run, case):
    changes, parts = CASES[case]
    masked = {k: v for k, v in changes.items() if k == "alignment"}
    views = {k: v for k, v in changes.items() if k != "alignment"}
    objective = dataclasses.replace(
        run.objective, masked=dataclasses.replace(run.objective.masked, **masked), **views
    )
    weight = {"loss_mask_align": 0.1, "loss_act_reg": 1e-4}
    wanted = sum(weight.get(name, 1.0) * float(run.golden[name]) for name in parts)
    terms, report = objective.terms(run.out, run.batch)
    np.testing.assert_allclose(sum(terms.values()), wanted, atol=1e-5)
    assert {"alignment", "view_contrast", "activation"} <= set(terms | report)
