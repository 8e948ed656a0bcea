"""Being told to stop: a signal becomes a saved state and an exit code of its own."""

PREEMPTED = (
    75  # exit code: told to stop, state saved; the same command goes on (sysexits' TEMPFAIL)
)


class Preempted(Exception):  # noqa: N818  (no error: the run did what it was told)
    """The run was told to stop and has saved its state."""


class Signals:
    """Hears of signals while it is entered."""

    def __enter__(self) -> "Signals":
        return self

    def __exit__(self, *error) -> None:
        """Lets go of the signals."""

    def asked(self, step: int) -> bool:
        """Whether to stop after ``step``; the same answer on every process."""
        del step
        return False
