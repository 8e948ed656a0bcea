"""What only the data or the run know, written into the config as it runs.

So a finished model can be read without either. ``run_dir.adopt`` writes the same into a recipe
whose run is finished; what only the model knows that a run starts from is ``start.settle``'s.
"""

from typing import Any

from elm_jax.batches import labelled
from elm_jax.construct import lookup
from elm_jax.data.corpus import Corpus
from elm_jax.data.targets import Target, with_classes, with_moments
from elm_jax.run_dir import OF_LENGTH
from elm_jax.schedules import RunLength

# Words of config.objective.class_weight -> how far towards classes that count alike.
BALANCED = {"balanced": 1.0, "balanced_root": 0.5}


def settle_labels(config: Any, corpus: Corpus) -> None:
    """Completes ``config.objective.labels`` from ``config.labels`` and the training windows.

    What only the data know (classes, a regression's mean and deviation, balanced weights) is
    written into the config as it runs: a finished model can be read without its data.

    Raises:
      LabelError, TargetError: the labels cannot be learnt as asked.
    """
    if not config.get("labels"):
        return
    recordings, windows = corpus.reader("train").recordings, corpus.windows("train")
    target = with_classes(Target.from_dict(config.labels.to_dict()), recordings, windows)
    found = labelled(config, corpus, target, "train")
    found.require_contrast()
    target = with_moments(target, found.values[found.usable])
    with config.unlocked(), config.objective.ignore_type():
        config.objective.labels = target.to_dict()
        asked = config.objective.get("class_weight") or ()
        word = asked if isinstance(asked, str) else asked[0] if len(asked) == 1 else None
        if isinstance(word, str):  # a command line makes a tuple of it
            power = lookup(BALANCED, word, "config.objective.class_weight")
            config.objective.class_weight = found.balanced_weights(power)


def settle_length(config: Any, length: RunLength) -> None:
    """Completes ``config.objective.total_steps``, where it is left open, by the run's length.

    A momentum encoder's schedule needs it; as it is written into the config, a finished model can
    be read without its run.
    """
    if config.objective.get(OF_LENGTH, 0) is None:
        with config.unlocked(), config.objective.ignore_type():
            config.objective[OF_LENGTH] = length.total_steps
