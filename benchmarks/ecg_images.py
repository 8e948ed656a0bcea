"""ECG prints on the device: images a second, beside matplotlib and beside the tower that sees them.

    python benchmarks/ecg_images.py [--sizes 224 384] [--batch 16] [--rounds 9] [--cores 2]

Simulated beats of twelve leads (10 s at 250 Hz) are drawn in both layouts and stacked; the tower is
ViT-S/16 (width 384, 12 layers) in float32, forward alone. All run in this process on the same
cores, in turn; matplotlib draws the same layout and grid at the same size with its Agg backend, one
figure used again, one image after the other. Ratios are of medians: of the tower's time and of
matplotlib's over the renderer's.
"""

import argparse
import io
import statistics
import time

import figures
from versus_torch import use_cores

LAYOUTS = {"paper": "3x4", "paper_12x1": "12x1"}


def beats(rows: int):
    """Simulated leads ``[rows, 12, 2500]`` in millivolts."""
    import numpy as np

    rng = np.random.default_rng(0)
    time_s = np.arange(2500) / 250
    phase = (time_s + rng.uniform(0, 0.8, (rows, 1, 1))) % 0.8
    wave = np.exp(-0.5 * ((phase - 0.3) / 0.012) ** 2)
    gain = np.linspace(-0.5, 1.5, 12)[None, :, None]
    return (gain * wave + rng.normal(0, 0.02, (rows, 12, 2500))).astype(np.float32)


class Matplotlib:
    """Draws the same prints with matplotlib: grid and traces."""

    def __init__(self, paper, channels):
        import matplotlib

        matplotlib.use("Agg")
        import numpy as np
        from matplotlib import pyplot as plt

        rows, columns = paper.image_size
        self.paper, self.channels = paper, channels
        self.figure = plt.figure(figsize=(columns / 100, rows / 100), dpi=100)
        axes = self.figure.add_axes((0, 0, 1, 1))
        axes.set(xlim=(0, columns), ylim=(rows, 0))
        axes.axis("off")
        for every, colour in ((1, "#fbd4cc"), (5, "#f0948f")):
            step = every * paper.px_per_mm
            axes.vlines(np.arange(0, columns, step), 0, rows, colour, lw=0.4)
            axes.hlines(np.arange(0, rows, step), 0, columns, colour, lw=0.4)
        self.lines = [axes.plot([], [], "k", lw=0.72 * paper.pen_px)[0] for _ in paper.strips]

    def __call__(self, signal_mv):
        """The image's bytes."""
        import numpy as np

        time_s = np.arange(signal_mv.shape[1]) / 250
        for strip, line in zip(self.paper.strips, self.lines, strict=True):
            own = (time_s >= strip.start_s) & (time_s < strip.stop_s)
            lead = signal_mv[self.channels.index(strip.lead), own]
            x = self.paper.left_px + time_s[own] * self.paper.px_per_s
            line.set_data(x, self.paper.zero_px[strip.row] - lead * self.paper.px_per_mv)
        out = io.BytesIO()
        self.figure.savefig(out, format="raw", dpi=100)
        return out.getvalue()


def tower_of(size: int):
    """ViT-S/16's forward pass on normalised pixels, and its variables."""
    import jax
    import jax.numpy as jnp

    from elm_jax.models.vit import Vit
    from elm_jax.models.vit_config import published

    config = published("vit", width=384, heads=6, mlp_width=1536, image_size=size)
    module, blank = Vit(config), jnp.zeros((1, size, size, 3))
    variables = jax.jit(lambda x: module.init(jax.random.key(0), x, train=False))(blank)
    run = jax.jit(lambda v, x: module.apply(v, x, train=False).pooled)
    return lambda image: run(variables, image)


def in_turn(functions, rounds: int) -> list[float]:
    """The median seconds of each, called in turn; the first call of each is not counted."""
    taken = [[] for _ in functions]
    for function in functions:
        function()
    for _ in range(rounds):
        for function, own in zip(functions, taken, strict=True):
            start = time.perf_counter()
            function()
            own.append(time.perf_counter() - start)
    return [statistics.median(own) for own in taken]


def main() -> None:
    """Prints one line a size and form."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[224, 384])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--cores", type=int, default=2)
    figures.add_json(parser)
    args = parser.parse_args()
    use_cores(args.cores)

    import jax
    import jax.numpy as jnp

    from elm_jax.images.picture import EcgPicture
    from elm_jax.signals.ecg.leads import STANDARD_ORDER

    signal = beats(args.batch)
    on_device = jnp.asarray(signal)
    measured = {}
    for size in args.sizes:
        tower = tower_of(size)
        images = jnp.zeros((args.batch, size, size, 3))
        for form in (*LAYOUTS, "stacked"):
            picture = EcgPicture(form, (size, size), STANDARD_ORDER, 250.0, 2500)
            draw = jax.jit(picture)
            ways = [
                lambda draw=draw: jax.block_until_ready(draw(on_device)),
                lambda tower=tower, images=images: jax.block_until_ready(tower(images)),
            ]
            if form in LAYOUTS:
                by_hand = Matplotlib(picture.paper, STANDARD_ORDER)
                ways.append(lambda by_hand=by_hand: by_hand(signal[0]))
            ours, tower_s, *theirs = in_turn(ways, args.rounds)
            rate = args.batch / ours
            own = {f"images_per_s/{form}/{size}": rate, f"tower/{form}/{size}": tower_s / ours}
            line = f"{form:11s} {size}  {rate:7.0f} images/s, tower's time over it "
            line += f"{tower_s / ours:5.1f}"
            if theirs:
                own[f"matplotlib/{form}/{size}"] = theirs[0] * rate
                line += f", matplotlib's {theirs[0] * rate:6.1f} ({1 / theirs[0]:.1f} images/s)"
            print(line, flush=True)
            measured |= own
    figures.write(args.json, measured)


if __name__ == "__main__":
    main()
