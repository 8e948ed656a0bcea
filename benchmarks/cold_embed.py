"""A cold process from an EDF file to vectors: imports, reading, compiling and computing.

    python benchmarks/cold_embed.py [--minutes 20] [--repeats 3] [--weights model_0_checkpoint.pt]

A new process each time, without a compilation cache; wall seconds, the median decides (goal 10 s).
Without --weights (a released ELM checkpoint, which needs PyTorch to read) the parameters are
random, of the same sizes.
"""

import argparse
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import tempfile
import time

import figures

sys.path.insert(0, str(pathlib.Path(__file__).parent))


def embed(path: str, weights: str | None) -> None:
    """What a user's first lines do; runs in the cold process."""
    import jax
    import numpy as np

    from elm_jax.models.conv_eeg import ConvEeg
    from elm_jax.models.heads import SignalProjector
    from elm_jax.signals.pipeline import ELM_SPEC, EVAL_OPTIONS, prepare_file, windows

    pieces, judgement = prepare_file(path, ELM_SPEC, EVAL_OPTIONS)
    if not judgement.usable:
        raise SystemExit(f"{path}: {judgement.skipped}")
    signal = np.concatenate([windows(p.signal, ELM_SPEC) for p in pieces])
    if weights:
        from elm_jax.convert.elm import load_elm_checkpoint

        loaded = load_elm_checkpoint(weights)
        encoder, projector = ConvEeg(**loaded.encoder_kwargs), SignalProjector()
        variables = loaded.encoder, loaded.projector
    else:
        encoder, projector = ConvEeg(in_channels=20), SignalProjector()
        shapes = jax.eval_shape(
            lambda x: _init(encoder, projector, x), jax.ShapeDtypeStruct((1, 20, 500), np.float32)
        )
        rng = np.random.default_rng(0)
        variables = jax.tree.map(lambda s: rng.uniform(0.1, 0.2, s.shape).astype(s.dtype), shapes)

    @jax.jit
    def apply(variables, x):
        features = encoder.apply(variables[0], x, train=False).pooled
        return projector.apply(variables[1], features, train=False)

    vectors = np.asarray(apply(variables, signal))
    print(f"{vectors.shape[0]} windows -> vectors of {vectors.shape[1]}")


def _init(encoder, projector, x):
    import jax

    key = jax.random.key(0)
    encoded, variables = encoder.init_with_output(key, x, train=False)
    return variables, projector.init(key, encoded.pooled, train=False)


def main() -> None:
    """Times cold processes and prints their median."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--weights")
    parser.add_argument("--embed", help=argparse.SUPPRESS)
    figures.add_json(parser)
    args = parser.parse_args()
    if args.embed:
        embed(args.embed, args.weights)
        return
    from edf_to_features import write_simulated

    environment = {k: v for k, v in os.environ.items() if k != "JAX_COMPILATION_CACHE_DIR"}
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "simulated.edf"
        write_simulated(path, args.minutes, 250, clipping=0)
        command = [sys.executable, __file__, "--embed", str(path)]
        command += ["--weights", args.weights] if args.weights else []
        seconds = []
        for _ in range(args.repeats):
            began = time.monotonic()
            subprocess.run(command, check=True, env=environment)
            seconds.append(time.monotonic() - began)
    print(
        f"cold process, {args.minutes:g} min simulated EDF to vectors: median "
        f"{statistics.median(seconds):.1f} s of {', '.join(f'{s:.1f}' for s in seconds)} "
        f"({os.cpu_count()} cores, {platform.machine()})"
    )
    figures.write(args.json, {"seconds": statistics.median(seconds)})


if __name__ == "__main__":
    main()
