"""``config.mode = "embed"``: vectors of a prepared corpus in one HDF5 file (ELM's GEN_EMB).

The layout is that of :mod:`elm_jax.data.embedding_file`. One batch of windows is in memory at a
time, and a run that was killed goes on where it stopped.
"""

import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import numpy as np
from etils import epath

import elm_jax
from elm_jax import leakage, paths, results, run_dir
from elm_jax.data.corpus import Corpus
from elm_jax.data.embedding_columns import as_text, columns_of, label_datasets, list_labels
from elm_jax.data.embedding_file import FILE_NAME, KINDS, EmbeddingFile
from elm_jax.data.embedding_writer import Contents, EmbeddingWriter, is_finished
from elm_jax.data.joined import JoinedReader
from elm_jax.data.manifest import SPLITS, ManifestError
from elm_jax.data.people import flags_of
from elm_jax.data.pipeline import window_batches
from elm_jax.data.read_ahead import reader_of
from elm_jax.data.spec import MOMENTS
from elm_jax.data.text import TextTable, distinct
from elm_jax.evals.base import Predict
from elm_jax.evals.file_map import file_map
from elm_jax.evals.zero_shot.prompt_files import load_questions
from elm_jax.evals.zero_shot.questions import Question
from elm_jax.evals.zero_shot.tasks import Task
from elm_jax.finished import open_finished
from elm_jax.pretrained import Pretrained
from elm_jax.processes import first_says, own, shareable, this_process

log = logging.getLogger(__name__)

TEXT_ROWS = 64  # texts a batch
LOG_EVERY_S = 10.0
# embed.features -> dataset -> what predict() calls that vector.
_OUTPUTS = {
    "projection": {"features": "projection"},
    "encoder": {"features": "features"},
    "both": {"features": "projection", "encoder_features": "features"},
}


@dataclasses.dataclass(frozen=True)
class _Texts:
    """The texts that go into a file, or why there are none.

    Attributes:
      segments: text segments, recording after recording.
      recording: for each segment its recording's number.
      prompts: (question, class, text) of each class prompt.
      absent: why there are no texts; "" otherwise.
    """

    segments: tuple[str, ...] = ()
    recording: tuple[int, ...] = ()
    prompts: tuple[tuple[str, str, str], ...] = ()
    absent: str = ""

    @property
    def datasets(self) -> dict[str, tuple[str, ...]]:
        """Dataset of vectors -> its texts."""
        found = {"text_embedding": self.segments}
        found["prompt_embedding"] = tuple(text for _, _, text in self.prompts)
        return {name: texts for name, texts in found.items() if texts}


def embed(config: Any, workdir: epath.Path) -> dict[str, Any]:
    """Writes ``embedding_dataset.h5`` into ``workdir``, and in ``summary.json`` what it is.

    Returns:
      What was written to ``summary.json``.

    Raises:
      SpecError, ValueError, OSError: the data do not fit the model, a setting is unknown, or there
        is a file of other vectors already.
    """
    began = time.monotonic()
    model, corpus = open_finished(config, workdir)
    settings = config.embed.to_dict()
    prompts, files = settings.pop("prompts"), settings.pop("prompt_files")
    questions = {}
    if settings["texts"] and (prompts or files):
        questions = load_questions(prompts, files, source="config.embed.prompts")
    splits, label = settings.pop("splits"), settings.pop("map_label")
    path = workdir / FILE_NAME
    normalisation = config.data.normalisation
    embed_corpus(
        model,
        corpus,
        splits,
        path,
        normalisation=normalisation,
        questions=questions,
        by=reader_of(config),
        **settings,
    )
    with EmbeddingFile(path) as file:
        found = {"embeddings": file_map(file, label)}
        about = file.attributes
    content = results.summary(
        config,
        corpus,
        found,
        spec=model.spec,
        step=model.step,
        loss=None,
        seconds=time.monotonic() - began,
        model=model.about,
        people=leakage.in_words(model),
    )
    run_dir.write_config(config, workdir)
    content |= {"file": FILE_NAME, "about": about}
    return results.write_results(workdir, content, found, simulated=corpus.manifest.simulated)


def embed_corpus(
    model: Pretrained,
    corpus: Corpus,
    splits: Sequence[str],
    path: epath.PathLike,
    *,
    features: str = "projection",
    dtype: str = "float32",
    texts: bool = True,
    text_strings: bool = False,
    questions: Mapping[str, Question] | None = None,
    rows_per_batch: int = 128,
    normalisation: str = "model",
    by: str = "tf_data",
    replace: bool = False,
) -> epath.Path:
    """Writes a corpus's vectors to ``path``; nothing is computed twice that is there already.

    Args:
      model: what embeds.
      corpus: the windows, with the mean and std to normalise by in its spec.
      splits: which; empty: all that have recordings.
      path: of the file; a finished one of the same contents is left as it is.
      features: "projection" (the published layout), "encoder" or "both".
      dtype: of the vectors, "float32" or "float16".
      texts: embed the reports' segments and the prompts too, where the model can.
      text_strings: keep the segments themselves in the file.
      questions: class prompts to embed, by name.
      rows_per_batch: windows at a time; the next multiple of the number of devices is taken.
      normalisation: whose mean and std the corpus's spec has, "model" or "corpus"; for the record.
      by: how windows are read ahead (:func:`elm_jax.data.read_ahead.read_ahead`).
      replace: delete a finished file of other contents, rather than refuse.

    Returns:
      ``path``.

    Raises:
      SpecError: the corpus's signal is not the model's.
      ManifestError: a split without recordings.
      ValueError: an unknown setting, a model without the vector asked for, vectors that ``dtype``
        cannot hold.
      EmbeddingFileError: ``path`` holds other vectors.
    """
    path = paths.of(path)
    if features not in KINDS:
        raise ValueError(f"config.embed.features is {features!r}; known: {KINDS}")
    hint = "Prepare them as the model needs them: python -m data_prep.prepare ... OPTIONS"
    model.spec.require_same(corpus.spec, source=str(corpus.directory), hint=hint, ignore=MOMENTS)
    splits = _known_splits(corpus, splits)
    recordings = [row for split in splits for row in corpus.reader(split).recordings]
    said = _texts(model, corpus, splits, questions or {}, wanted=texts)
    labels = label_datasets(recordings)
    columns = columns_of(recordings, corpus.spec, labels)
    columns["trained_on"] = flags_of(model.trained_on, [row.person for row in recordings])
    windows = len(columns["subject_ids"])
    outputs = _OUTPUTS[features]
    vectors = {name: (windows, _width(model, outputs[name])) for name in outputs}
    table = _table(model, said)
    for name, part in said.datasets.items():
        vectors[name] = len(part), _width(model, "text_projection", table)
    contents = Contents(
        about=_about(model, corpus, splits, said, normalisation)
        | {"features": features, "dtype": dtype, "labels": labels}
        | ({"list_labels": lists} if (lists := list_labels(recordings)) else {}),
        columns=columns | _text_columns(said, strings=text_strings),
        vectors=vectors,
        dtype=dtype,
        beside={"source": model.source, "code_version": f"elm_jax {elm_jax.__version__}"},
    )
    if first_says(lambda: is_finished(path, contents, replace=replace)):
        log.info("embed    %s is there already", path)
        return path
    predict = model.predictor(corpus.manifest.steps_per_unit, corpus.spec)
    # With several processes each reads and computes its share of every batch; the first one writes.
    first = jax.process_index() == 0
    with EmbeddingWriter(path, contents) if first else contextlib.nullcontext() as writer:
        for name, part in said.datasets.items():
            _write_texts(writer, predict, table, name, part)
        _write_windows(writer, predict, corpus, splits, outputs, rows_per_batch, by)
        first_says(lambda: writer.finish() or 0)  # the others read it only then
    listing = ", ".join(f"{name} {list(shape)}" for name, shape in vectors.items())
    log.info("written  %s: %s", path, listing)
    return path


def _known_splits(corpus: Corpus, splits: Sequence[str]) -> tuple[str, ...]:
    """The splits asked for, in the usual order; all that have recordings where none is named."""
    if isinstance(splits, str) or set(splits) - set(SPLITS):
        raise ManifestError(f"config.embed.splits is {splits!r}; known: a list of {SPLITS}")
    held = tuple(s for s in SPLITS if corpus.manifest.people.get(s))
    return tuple(s for s in SPLITS if s in splits) or held


def _texts(
    model: Pretrained,
    corpus: Corpus,
    splits: Sequence[str],
    questions: Mapping[str, Question | Task],
    *,
    wanted: bool,
) -> _Texts:
    if not wanted:
        return _Texts(absent="texts were not asked for: config.embed.texts=False")
    if model.texts is None or corpus.text is None:
        return _Texts(absent="the model has no text tower")
    segments = [s for split in splits for s in corpus.segments(split)]
    prompts = tuple(
        (question.name, answer.name, text)
        for question in questions.values()
        for answer in question.classes
        for text in answer.prompts
    )
    pairs = [(i, text) for i, texts in enumerate(segments) for text in texts]
    absent = "" if pairs else "no recording has a report"
    return _Texts(tuple(t for _, t in pairs), tuple(i for i, _ in pairs), prompts, absent)


def _text_columns(said: _Texts, *, strings: bool) -> dict[str, np.ndarray]:
    columns = {}
    if said.segments:
        columns["text_subject_ids"] = np.asarray(said.recording, np.int64)
        if strings:
            columns["texts"] = as_text(said.segments)
    if said.prompts:
        for i, name in enumerate(("prompt_questions", "prompt_classes", "prompts")):
            columns[name] = as_text([prompt[i] for prompt in said.prompts])
    return columns


def _table(model: Pretrained, said: _Texts) -> TextTable | None:
    """Every distinct text once, segments and prompts alike.

    Raises:
      FileNotFoundError: a frozen tower is not here; says how to do without.
      ValueError: a prompt that is longer than the tower takes; segments are cut, as in training.
    """
    if not said.datasets:
        return None
    try:
        model.texts.require_whole([text for _, _, text in said.prompts])
        return model.texts.table(distinct(said.datasets.values()))
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{error}\nTo embed signals alone: --config.embed.texts=False"
        ) from error


def _width(model: Pretrained, output: str, table: TextTable | None = None) -> int:
    """Numbers in one of the model's vectors; computes none.

    Raises:
      ValueError: the model has no such vector.
    """
    spec = model.spec
    batch = {"signal": np.zeros((1, len(spec.channels), spec.window_samples), np.float32)}
    if table is not None:
        batch = table.take(np.zeros(1, np.int64))
    shapes = jax.eval_shape(model.objective.predict, model.params, model.model_state, batch)
    if output not in shapes:
        hint = "; --config.embed.features=encoder has the encoder's" if table is None else ""
        raise ValueError(f"{model.source} gives {sorted(shapes)}, no {output!r}{hint}")
    return shapes[output].shape[-1]


def _about(
    model: Pretrained,
    corpus: Corpus,
    splits: Sequence[str],
    said: _Texts,
    normalisation: str,
) -> dict[str, Any]:
    """What the vectors are, but for which and how exact."""
    spec, manifest = corpus.spec, corpus.manifest
    told = spec.to_dict()
    assumed = [n for n in ("mean", "std") if normalisation == "model" and n in model.assumed]
    return {
        "weights_sha256": model.weights_sha256,
        "spec": told,
        "normalisation": {
            "mean": told["mean"],
            "std": told["std"],
            "from": normalisation,
            "assumed": assumed,
        },
        "corpus": manifest.corpus,
        "corpus_inputs_sha256": manifest.inputs_sha256,
        "corpus_code_version": manifest.code_version,
        "simulated": manifest.simulated,
        "splits": list(splits),
        "texts": said.absent,
        "text": None if corpus.text is None else json.loads(json.dumps(dict(corpus.text))),
    }


def _done(writer: EmbeddingWriter | None, *names: str) -> int:
    """Rows that are there already, the same on every process."""
    return first_says(lambda: writer.done(*names))


def _write_texts(
    writer: EmbeddingWriter | None,
    predict: Predict,
    table: TextTable,
    name: str,
    texts: Sequence[str],
) -> None:
    """One dataset of text vectors; equal texts are computed once."""
    if _done(writer, name) == len(texts):
        return
    distinct_rows, which = np.unique(table.rows(texts), return_inverse=True)
    size = shareable(TEXT_ROWS)
    padded = np.concatenate([distinct_rows, np.full(-len(distinct_rows) % size, -1)])
    parts = [table.take(own(rows)) for rows in padded.reshape(-1, size)]
    vectors = np.concatenate([predict(part)["text_projection"] for part in parts])
    if writer:
        writer.write(0, {name: vectors[which]})
    log.info("embed    %s: %d texts, %d of them distinct", name, len(texts), len(distinct_rows))


def _write_windows(
    writer: EmbeddingWriter | None,
    predict: Predict,
    corpus: Corpus,
    splits: Sequence[str],
    outputs: Mapping[str, str],
    rows_per_batch: int,
    by: str,
) -> None:
    """The vectors of all windows, batch by batch, from the first that is not there yet."""
    start = _done(writer, *outputs)
    reader = JoinedReader([corpus.reader(split) for split in splits])
    left = reader.windows([corpus.windows(split) for split in splits], start)
    total = start + len(left)
    if start:
        log.info("embed    goes on at window %d of %d", start, total)
    ways = jax.device_count()
    rows = -(-min(rows_per_batch, max(total, 1)) // ways) * ways
    at, began, told = start, time.monotonic(), time.monotonic()
    sizes = dict(rows_per_batch=rows, process=this_process(), by=by)
    for batch in window_batches(reader, left, **sizes):
        out = predict({k: v for k, v in batch.items() if k != "window"})
        real = min(rows, total - at)  # what is padding comes last
        if writer:
            writer.write(at, {name: out[key][:real] for name, key in outputs.items()})
        at += real
        if time.monotonic() - told > LOG_EVERY_S:
            told = time.monotonic()
            rate = (at - start) / (told - began)
            left_s = divmod(int((total - at) / rate), 60)
            progress = f"{at} of {total} windows  {rate:.0f} windows/s"
            log.info("embed    %s  %d:%02d left", progress, *left_s)
