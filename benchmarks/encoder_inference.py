"""Encoder and projector in evaluation mode: ours against a PyTorch twin with equal weights.

    python benchmarks/encoder_inference.py [--batch 64 256] [--rounds 15] [--cores 2]

Both run in this process on the same cores, in turn; the ratio is of medians, larger than 1 means
that ours is faster. Outputs are compared first.
"""

import argparse

from versus_torch import alternate, describe, make_models, signals, use_cores, versions


def main() -> None:
    """Prints one line a batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cores", type=int, default=2)
    args = parser.parse_args()
    cores = use_cores(args.cores)

    import jax
    import numpy as np
    import torch

    twin, encoder, projector, variables = make_models()
    twin.eval()

    @jax.jit
    def embed(variables, x):
        emb = encoder.apply(variables["encoder"], x, train=False).pooled
        return emb, projector.apply(variables["projector"], emb, train=False)

    def theirs_of(x):
        with torch.inference_mode():
            return twin(x)

    print(versions(cores))
    for batch in args.batch:
        x = signals(batch)
        x_torch, x_jax = torch.from_numpy(x), jax.device_put(x)
        for found, expected in zip(embed(variables, x_jax), theirs_of(x_torch), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)
        ours, theirs = alternate(
            lambda x=x_jax: jax.block_until_ready(embed(variables, x)),
            lambda x=x_torch: theirs_of(x),
            rounds=args.rounds,
        )
        print(describe("inference", batch, ours, theirs), flush=True)


if __name__ == "__main__":
    main()
