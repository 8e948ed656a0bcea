"""The variables of SleepConv from braindecode's ``SleepStagerChambon2018``, written out by hand."""

import numpy as np


def linear(state, prefix=""):
    """A Linear's parameters as a Dense's."""
    weight, bias = (np.array(state[f"{prefix}{name}"]) for name in ("weight", "bias"))
    return {"kernel": weight.T, "bias": bias}


def variables_of(state):
    """``(params, batch_stats)`` of a state dict, with or without each of its optional layers."""
    params, stats = {}, {}
    if "spatial_conv.weight" in state:
        weight = np.array(state["spatial_conv.weight"])
        bias = np.array(state["spatial_conv.bias"])
        params["spatial"] = {"kernel": weight[:, 0, :, 0].T, "bias": bias}
    for i, (conv, norm) in enumerate(((0, 1), (4, 5))):
        at = f"feature_extractor.{conv}."
        kernel = np.array(state[f"{at}weight"])[:, :, 0].transpose(2, 1, 0)
        params[f"conv_{i}"] = {"kernel": kernel, "bias": np.array(state[f"{at}bias"])}
        at = f"feature_extractor.{norm}."
        if f"{at}weight" in state:
            scale, bias = (np.array(state[f"{at}{name}"]) for name in ("weight", "bias"))
            mean, var = (np.array(state[f"{at}running_{name}"]) for name in ("mean", "var"))
            params[f"norm_{i}"] = {"scale": scale, "bias": bias}
            stats[f"norm_{i}"] = {"mean": mean, "var": var}
    if "final_layer.1.weight" in state:
        params["out"] = linear(state, "final_layer.1.")
    return params, stats
