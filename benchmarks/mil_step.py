"""A whole MIL training step with a BERT-base text tower: ours against the published recipe.

    python benchmarks/mil_step.py [--rounds 5] [--cores 2] [--huge_pages] [--json FILE]

The recipe (Gijsen & Ritter 2025, 5 s crops and sentences) keeps the text tower frozen and yet runs
it in every step, over sentences padded to 80 tokens. Ours runs it once for every distinct sentence
and feeds the step its vectors. The batch is reduced, 80 crops [20, 500] and 16 sentences of 20 to
40 tokens, with the published five crops to a sentence.

Both sides start from the same random weights (BERT-base: 12 layers of 768, 30522 words) and take
the encoder, both projectors, the multiple-instance loss in both directions, the backward pass and
a step of LARS. PyTorch's tower is ``transformers.BertModel``, in evaluation mode without gradient.
Ours is the jitted step of the training loop. The losses of the first steps must agree.

``ratio`` is PyTorch's time over ours with a share of our tower's cost in it: a sentence is embedded
once for the 25 epochs of the recipe. ``ratio_cold`` charges all of it to one step, as if no
sentence ever came back; ``ratio_trimmed`` pads the twin's sentences to the batch's longest only,
which the recipe does not do.
"""

import argparse
import statistics
import time
from typing import NamedTuple

import figures
import numpy as np
from versus_torch import (
    alternate,
    make_models,
    ratio_of,
    signals,
    use_cores,
    use_huge_pages,
    versions,
)

CROPS, SENTENCES, BAGS = 80, 16, 4
TOKENS, PADDED_TOKENS, VOCABULARY = (20, 40), 80, 30522
EPOCHS = 25
RATE, MOMENTUM, WEIGHT_DECAY, ETA, TEMPERATURE = 0.02 * CROPS / 256, 0.9, 1e-4, 0.001, 0.3
CHECKED_STEPS = 3


class Inputs(NamedTuple):
    """A batch: signals, token numbers padded on the right, and which bag a row is of."""

    signal: np.ndarray
    token: np.ndarray
    token_valid: np.ndarray
    signal_bag: np.ndarray
    text_bag: np.ndarray


def make_inputs() -> Inputs:
    """Crops and sentences of as many recordings as there are bags; [CLS] first, padding last."""
    rng = np.random.default_rng(0)
    length = rng.integers(*TOKENS, SENTENCES, endpoint=True)
    valid = np.arange(PADDED_TOKENS) < length[:, None]
    token = np.where(valid, rng.integers(1000, VOCABULARY, valid.shape), 0)
    token[:, 0] = 101
    bags = [np.arange(n, dtype=np.int32) * BAGS // n for n in (CROPS, SENTENCES)]
    return Inputs(signals(CROPS), token.astype(np.int32), valid, *bags)


def lars_step(parameters, momenta) -> None:
    """The recipe's update: the rate multiplies after the momentum; vectors are not adapted."""
    for p, momentum in zip(parameters, momenta, strict=True):
        step = p.grad
        if p.ndim > 1:
            step = step + WEIGHT_DECAY * p
            step = step * (ETA * p.norm() / step.norm())
        momentum.mul_(MOMENTUM).add_(step)
        p.sub_(RATE * momentum)


def torch_step(twin, projector, bert, inputs: Inputs, padded_tokens: int):
    """A closure that takes one step of the published recipe and gives the loss."""
    import torch
    from torch.nn.functional import log_softmax, normalize

    signal, token, valid, bag, text_bag = map(torch.from_numpy, inputs)
    token, valid = token[:, :padded_tokens].long(), valid[:, :padded_tokens].long()
    parameters = [*twin.parameters(), *projector.parameters()]
    momenta = [torch.zeros_like(p) for p in parameters]
    positive = (bag[:, None] == text_bag[None, :]).float()
    twin.train(), projector.train(), bert.eval()

    def step():
        for p in parameters:
            p.grad = None
        with torch.no_grad():
            hidden = bert(input_ids=token, attention_mask=valid).last_hidden_state
        text = normalize(projector(hidden[:, 0]), dim=-1)
        logits = normalize(twin(signal)[1], dim=-1) @ text.T / TEMPERATURE
        by_text = -(positive * log_softmax(logits, 0)).sum(0) / positive.sum(0)
        by_signal = -(positive * log_softmax(logits, 1)).sum(1) / positive.sum(1)
        loss = (by_text.mean() + by_signal.mean()) / 2
        loss.backward()
        with torch.no_grad():
            lars_step(parameters, momenta)
        return loss.item()

    return step


def embedding(bert, inputs: Inputs):
    """A closure that runs our frozen tower over the sentences and gives their vectors [16, 768]."""
    import jax

    from elm_jax.convert.bert import from_hf
    from elm_jax.models.bert import Bert, BertConfig, pool_text

    config = BertConfig()
    state = {name: value.numpy() for name, value in bert.state_dict().items()}
    variables = jax.tree.map(jax.numpy.asarray, from_hf(config, state)[0])
    # As the text source does: as long as the longest sentence.
    longest = int(inputs.token_valid.sum(1).max())
    token, valid = (jax.numpy.asarray(x[:, :longest]) for x in (inputs.token, inputs.token_valid))

    @jax.jit
    def apply(variables, token, valid):
        return pool_text(Bert(config).apply(variables, token, valid, train=False), valid, "cls")

    return lambda: jax.block_until_ready(apply(variables, token, valid))


def jax_step(encoder, signal_projector, variables, projector, text_emb, inputs: Inputs):
    """A closure that takes one step of ours, given the sentences' vectors, and gives the loss."""
    import jax
    import jax.numpy as jnp

    from elm_jax import optim
    from elm_jax.convert.elm import text_projector_from_released
    from elm_jax.models.heads import TextProjector
    from elm_jax.objectives.multi_instance import MultiInstance
    from elm_jax.state import TrainState
    from elm_jax.step import make_step

    objective = MultiInstance(
        encoder, signal_projector, TextProjector((1024, 256)), temperature=TEMPERATURE
    )
    state = {name: value.numpy().copy() for name, value in projector.state_dict().items()}
    made = {
        "encoder": variables["encoder"],
        "signal_projector": variables["projector"],
        "text_projector": text_projector_from_released(state)[0],
    }
    made = jax.tree.map(jnp.array, made)
    params = {name: v["params"] for name, v in made.items()}
    stats = {name: v["batch_stats"] for name, v in made.items() if "batch_stats" in v}
    tx = optim.lars(RATE, weight_decay=WEIGHT_DECAY, momentum=MOMENTUM, eta=ETA)
    optimizer = optim.Optimizer(tx, lambda _: RATE, jax.tree.map(lambda _: True, params))
    run = make_step(objective, optimizer, lambda batch: batch, seed=0)
    batch = {
        "signal": inputs.signal,
        "signal_valid": np.ones(CROPS, bool),
        "signal_bag": inputs.signal_bag,
        "text_emb": text_emb,
        "text_valid": np.ones(SENTENCES, bool),
        "text_bag": inputs.text_bag,
    }
    batch = jax.tree.map(jnp.asarray, batch)
    kept = [TrainState(jnp.int32(0), params, {"batch_stats": stats}, tx.init(params))]

    def step():
        kept[0], measures = run(kept[0], batch)
        return float(measures["loss"])

    return step


def seconds_of(function, *, calls: int = 3) -> float:
    """Median seconds of a call; the first one is not counted."""
    taken = []
    for _ in range(calls + 1):
        start = time.perf_counter()
        function()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken[1:])


def main() -> None:
    """Prints both times, what the frozen tower costs once, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--huge_pages", action="store_true")
    figures.add_json(parser)
    args = parser.parse_args()
    if args.huge_pages:
        use_huge_pages()
    cores = use_cores(args.cores)

    from transformers import BertConfig, BertModel

    from elm_jax.convert.standalone.elm_torch import TextProjector

    twin, encoder, signal_projector, variables = make_models()
    bert = BertModel(BertConfig(), add_pooling_layer=False).eval()
    projector = TextProjector(768, 1024, 256)
    print(versions(cores))
    inputs = make_inputs()
    embed = embedding(bert, inputs)
    ours = jax_step(encoder, signal_projector, variables, projector, embed(), inputs)
    theirs = torch_step(twin, projector, bert, inputs, PADDED_TOKENS)
    losses = [(ours(), theirs()) for _ in range(CHECKED_STEPS)]
    np.testing.assert_allclose(*zip(*losses, strict=True), rtol=1e-4)
    print("losses of the first steps:", " ".join(f"{a:.6f}/{b:.6f}" for a, b in losses))

    times = alternate(ours, theirs, rounds=args.rounds)
    longest = int(inputs.token_valid.sum(1).max())
    trimmed = seconds_of(torch_step(twin, projector, bert, inputs, longest))
    embedded = seconds_of(embed)
    step, published = statistics.median(times.ours), statistics.median(times.theirs)
    found = {
        "ratio": published / (step + embedded / EPOCHS),
        "ratio_step": ratio_of(times),
        "ratio_cold": published / (step + embedded),
        "ratio_trimmed": trimmed / (step + embedded / EPOCHS),
    }
    print(
        f"MIL step, {CROPS} crops and {SENTENCES} sentences: elm_jax {1e3 * step:.0f} ms, PyTorch "
        f"{1e3 * published:.0f} ms ({1e3 * trimmed:.0f} ms with sentences padded to {longest}); "
        f"other processes used {times.others:.0%} of the machine\n"
        f"the sentences' vectors: {1e3 * embedded:.0f} ms once, "
        f"{1e3 * embedded / EPOCHS:.0f} ms a step over {EPOCHS} epochs"
    )
    for name, value in found.items():
        print(f"{name:14s}{value:6.2f}")
    figures.write(args.json, found)


if __name__ == "__main__":
    main()
