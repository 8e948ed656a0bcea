"""Encoder and projector in evaluation mode: ours against a PyTorch twin with equal weights.

    python benchmarks/encoder_inference.py [--batch 64 256] [--rounds 15] [--cores 2] [--huge_pages]

Both run in this process on the same cores, in turn; the ratio is of medians, larger than 1 means
that ours is faster. Outputs are compared first. Believe a run only where other processes
used about nothing: PyTorch's threads wait for each other and lose most beside other work.

What each step gave, as PyTorch's time over ours in the same run (batch 16, one core, smallest of
25 to 40 calls, on a machine shared with other work, so to about a tenth): XLA's convolutions with
BatchNorm folded 0.94; one padding, merged skip convolution, ELU by exp, pooling by slices 1.28;
convolution by Fourier tiles 2.16. Tried instead of the tiles: shifted matrix products and
unfolding (slower than XLA's convolutions), two- and four-phase fast FIR (both 1.46), YNNPACK's and
512-bit XLA flags (no change).
"""

import argparse

import figures
from versus_torch import (
    alternate,
    describe,
    make_models,
    ratio_of,
    signals,
    use_cores,
    use_huge_pages,
    versions,
)


def main() -> None:
    """Prints one line a batch size."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch", type=int, nargs="+", default=[64, 256])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--huge_pages", action="store_true")
    figures.add_json(parser)
    args = parser.parse_args()
    if args.huge_pages:
        use_huge_pages()
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
    measured = {}
    for batch in args.batch:
        x = signals(batch)
        x_torch, x_jax = torch.from_numpy(x), jax.device_put(x)
        for found, expected in zip(embed(variables, x_jax), theirs_of(x_torch), strict=True):
            np.testing.assert_allclose(found, expected, atol=1e-5)
        times = alternate(
            lambda x=x_jax: jax.block_until_ready(embed(variables, x)),
            lambda x=x_torch: theirs_of(x),
            rounds=args.rounds,
        )
        print(describe("inference", batch, times), flush=True)
        measured[f"ratio/{batch}"] = ratio_of(times)
    figures.write(args.json, measured)


if __name__ == "__main__":
    main()
