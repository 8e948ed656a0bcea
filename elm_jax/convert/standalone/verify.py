"""Checks an export: recomputes its probe in PyTorch and compares; exit code 1 if it differs.

    python verify.py [FOLDER]       # by default the folder that this file lies in

Needs PyTorch 2.0 or later, numpy and safetensors; ``transformers`` as well to check a text tower.
Part of elm_jax, Apache-2.0.
"""

import importlib
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))

import elm_torch
import numpy as np
import torch

# Which file beside this one knows an encoder.
ENCODERS = {
    "conv_eeg": "elm_torch",
    "eeg_transformer": "eeg_torch",
    "resnet1d": "ecg_torch",
    "vit1d": "ecg_torch",
    "ecg_image": "image_torch",
    "sleep_conv": "sleep_torch",
    "mlp": "mlp_torch",
}
# Largest difference, as a share of an output's largest value, by what the model computes in: for
# outputs that were made on a CPU, and for those of accelerators, which may round products.
CPU_TOLERANCE = {"float32": 1e-4, "bfloat16": 3e-2}
TOLERANCE = {"float32": 5e-3, "bfloat16": 3e-2}


def outputs(folder, config, probe):
    """(what PyTorch gives for the probe's inputs, what could not be checked and why)."""
    skipped = []
    encoder = importlib.import_module(ENCODERS[config["recipe"]["encoder"]["name"]])
    with torch.inference_mode():
        found = encoder.outputs(folder, torch.from_numpy(probe["in_signal"]))
        if "out_text_projection" in probe:
            vector = text_vector(folder, config, probe)
            if vector is None:
                skipped.append("text_projection: pip install transformers to check the text tower")
            else:
                found["text_projection"] = elm_torch.load_text_projector(folder)(vector)
    return {name: value.float().numpy() for name, value in found.items()}, skipped


def text_vector(folder, config, probe):
    """The text tower's vectors of the probe's tokens; None if ``transformers`` is not there."""
    if "in_text_emb" in probe:
        return torch.from_numpy(probe["in_text_emb"])
    try:
        from transformers import BertModel
    except ImportError:
        return None
    tower = BertModel.from_pretrained(folder / "text_tower", add_pooling_layer=False).eval()
    token = torch.from_numpy(probe["in_text_token"]).long()
    valid = torch.from_numpy(probe["in_text_token_valid"])
    hidden = tower(input_ids=token, attention_mask=valid.long()).last_hidden_state
    return elm_torch.pool_text(hidden, valid, config["recipe"]["text"]["tower"]["pooling"])


def difference(found, expected):
    """The largest difference, as a share of the largest expected value."""
    if found is None or found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-12))


def main():
    """Prints one line an output; returns the exit code."""
    folder = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else pathlib.Path(__file__).parent)
    config = elm_torch.read_config(folder)
    with np.load(folder / "probe.npz", allow_pickle=False) as file:
        probe = {name: file[name] for name in file.files}
    spec = config["spec"]
    window = (len(spec["channels"]), round(spec["window_s"] * spec["sfreq_hz"]))
    if probe["in_signal"].shape[1:] != window:
        print(f"FAILED: the probe's signal is {probe['in_signal'].shape[1:]}, the spec's {window}")
        return 1
    on_cpu = str(probe.get("made_on", "")) == "cpu"
    tolerance = (CPU_TOLERANCE if on_cpu else TOLERANCE)[config["recipe"]["dtype"]]
    try:
        found, skipped = outputs(folder, config, probe)
    except (RuntimeError, KeyError, OSError) as error:
        print(f"FAILED: the weights do not fit config.json: {error}")
        return 1
    failed = False
    for name in sorted(n.removeprefix("out_") for n in probe if n.startswith("out_")):
        if any(line.startswith(f"{name}:") for line in skipped):
            continue
        worst = difference(found.get(name), probe[f"out_{name}"])
        failed |= not worst <= tolerance
        word = "equal" if worst <= tolerance else "DIFFERS"
        print(f"{name}: {word}, largest difference {worst:.2e} (tolerance {tolerance:g})")
    for line in skipped:
        print(f"not checked: {line}")
    print("FAILED: this is not the model that was saved" if failed else f"verified: {folder}")
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
