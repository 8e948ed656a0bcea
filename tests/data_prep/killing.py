"""A program that dies at a chosen change to its files."""

from data_prep import durable


class Killed(BaseException):
    """No Exception, as kill -9 is none: nothing may catch it."""


def kill_at(monkeypatch, moment, after):
    """Dies at the given write, rename or deletion, before or after it has happened."""
    count = 0

    def wrap(function):
        def wrapped(*args, **kwargs):
            nonlocal count
            count += 1
            mine = count
            if mine == moment and not after:
                raise Killed
            function(*args, **kwargs)
            if mine == moment and after:
                raise Killed

        return wrapped

    for name in ("replace", "write_json", "remove", "remove_tree"):
        monkeypatch.setattr(durable, name, wrap(getattr(durable, name)))
