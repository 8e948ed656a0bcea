"""Where a Beam pipeline runs: the runner by its name, and its options."""

import argparse
import contextlib
import dataclasses
import io
import logging
import re
from collections.abc import Callable
from typing import Any

from threadpoolctl import threadpool_limits

from data_prep.work import PrepareError
from elm_jax.paths import is_remote

_MISSING = (
    "--runner needs Apache Beam, which is not installed: pip install 'elm_jax[beam]' (in a "
    "checkout: pip install -c constraints.txt -e '.[beam]'); without it, --part i/N shares the "
    "work out over the tasks of a job array"
)
_DIRECT = "DirectRunner"
_MANY = {
    _DIRECT: "direct_running_mode=multi_processing --beam_option direct_num_workers=4",
    "DataflowRunner": "max_num_workers=100",
}
_ONE_EACH = {True: ("direct_num_workers", 1), False: ("number_of_worker_harness_threads", 1)}


@dataclasses.dataclass
class Cluster:
    """A runner and its options.

    Attributes:
      name: as Beam has it.
      here: whether it runs on this machine.
      options: Beam's ``PipelineOptions``.
    """

    name: str
    here: bool
    options: Any

    def say_options(self) -> str:
        """The options that are not as ever, for people."""
        given = self.options.get_all_options(drop_default=True, retain_unknown_options=True)
        return ", ".join(f"{k}={v}" for k, v in sorted(given.items())) or "no options"

    def run(self, build: Callable[[Any], None]) -> None:
        """Runs a pipeline to its end.

        Args:
          build: adds the steps to a ``beam.Pipeline``.

        Raises:
          PrepareError: it did not start, or failed; what its workers have finished is kept.
        """
        import apache_beam as beam

        try:
            # The first worker may be this process: matrix products round otherwise with threads.
            with threadpool_limits(1) if self.here else contextlib.nullcontext():
                runner = _direct(self.options) if self.name == _DIRECT else self.name
                pipeline = beam.Pipeline(runner=runner, options=self.options)
                build(pipeline)
                state = _wait(pipeline.run())
        except Exception as error:
            raise PrepareError(
                f"{self.name}: {_reason(error)}\nWhat is finished is kept: the same command goes "
                "on from there"
            ) from error
        if state != "DONE":
            raise PrepareError(f"{self.name}: the job ended as {state}; the same command goes on")


def _direct(options: Any) -> Any:
    """Beam's DirectRunner without the program (Prism) that it would first download to run on."""
    from apache_beam.portability.api import beam_provision_api_pb2
    from apache_beam.runners.portability.fn_api_runner.fn_runner import (
        ExtendedProvisionInfo,
        FnApiRunner,
    )
    from apache_beam.runners.portability.portable_runner import JobServiceHandle

    encoded = JobServiceHandle.encode_pipeline_options(options.get_all_options(drop_default=True))
    info = beam_provision_api_pb2.ProvisionInfo(pipeline_options=encoded)
    return FnApiRunner(provision_info=ExtendedProvisionInfo(info))


def _wait(result: Any) -> str:
    try:
        return str(result.wait_until_finish() or result.state)
    except KeyboardInterrupt:
        # Else it would go on, and cost, without us.
        result.cancel()
        raise


def _reason(error: Exception) -> str:
    """The workers' own words, if they are ours; else the last line of what Beam says."""
    text = str(error)
    if ours := re.findall(rf"{PrepareError.__name__}: (.+)", text):
        text = ours[-1]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return re.sub(r" \[while running .*", "", lines[-1] if lines else type(error).__name__)


def connect(args: argparse.Namespace) -> Cluster:
    """The cluster that ``--runner`` and ``--beam_option`` describe; starts nothing.

    Raises:
      PrepareError: Beam is missing, the runner or an option is unknown, or its workers could not
        reach the files.
    """
    name = _known(args.runner)
    flags = [f"--{option.removeprefix('--')}" for option in args.beam_option]
    if reserved := [f for f in flags if re.match(r"--runner\b", f)]:
        raise PrepareError(f"--beam_option {reserved[0][2:]}: name the runner by --runner")
    here = name in (_DIRECT, "FnApiRunner", "BundleBasedDirectRunner")
    if any(word.partition("=")[0] == "--workers" for word in args.words) and args.workers > here:
        raise PrepareError(
            f"--workers {args.workers}: how many workers there are is {name}'s own option, such as "
            f"--beam_option {_MANY.get(name, 'parallelism=8')}"
        )
    if name == "DataflowRunner":
        _require_remote(args)
    # A recording takes a multiple of its own size: one at a time in each process.
    key, value = _ONE_EACH[here]
    if not any(flag.startswith(f"--{key}=") for flag in flags):
        flags.append(f"--{key}={value}")
    strict = here or name == "DataflowRunner"  # others get options from their own servers
    return Cluster(name, here, _options(flags, strict))


def _known(name: str) -> str:
    # Beam speaks up about optional libraries as it is imported.
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        from apache_beam.options.pipeline_options import StandardOptions
        from apache_beam.runners.runner import create_runner
    except ImportError as error:
        raise PrepareError(f"{_MISSING} ({error})") from error
    finally:
        logging.disable(level)
    by_word = {known.lower(): known for known in StandardOptions.KNOWN_RUNNER_NAMES}
    found = by_word.get(name.lower()) or by_word.get(f"{name.lower()}runner")
    if not found and "." not in name:
        known = ", ".join(sorted(n for n in by_word.values() if not n.startswith("Test")))
        raise PrepareError(
            f"--runner {name}: no such runner; known: {known} (or module.Class of another)"
        )
    try:
        create_runner(found or name)
    except (ImportError, AttributeError) as error:
        extra = " (pip install 'elm_jax[dataflow]')" if found == "DataflowRunner" else ""
        raise PrepareError(f"--runner {name}: {error}{extra}") from error
    return found or name


def _options(flags: list[str], strict: bool) -> Any:
    from apache_beam.options.pipeline_options import PipelineOptions

    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            options = PipelineOptions(flags)
            given = options.get_all_options(retain_unknown_options=True)
    except SystemExit as error:  # its parser is a command's
        reason = said.getvalue().strip().rpartition("error: ")[2]
        raise PrepareError(f"--beam_option: {reason}") from error
    unknown = sorted(set(given) - set(PipelineOptions([]).get_all_options()))
    if strict and unknown:
        raise PrepareError(f"--beam_option {unknown[0]}: the runner has no such option")
    return options


def _require_remote(args: argparse.Namespace) -> None:
    for option in ("input", "out"):
        path = getattr(args, option)
        if path is None or not is_remote(path):
            raise PrepareError(
                f"--{option} {path}: Dataflow's workers reach files of Cloud Storage alone; give a "
                "path gs://..., with the recordings copied there first (gcloud storage rsync)"
            )
