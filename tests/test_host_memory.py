"""Freed memory goes back to the system after what takes much of it, and only then."""

import jax

from elm_jax import host_memory


def test_memory_is_given_back_after_every_long_compilation_and_nothing_else(monkeypatch):
    listeners, given = [], []
    monkeypatch.setattr(jax.monitoring, "register_event_duration_secs_listener", listeners.append)
    monkeypatch.setattr(host_memory, "give_back", lambda: given.append(1))
    host_memory.give_back_after_compiling()
    (compiled,) = listeners
    compiled("/jax/core/compile/backend_compile_duration", 30.0, fun_name="step")
    assert len(given) == 1
    compiled("/jax/core/compile/backend_compile_duration", 0.01)
    compiled("/jax/core/compile/jaxpr_trace_duration", 30.0)
    assert len(given) == 1


def test_the_event_is_the_one_that_jax_tells_of():
    found = []
    jax.monitoring.register_event_duration_secs_listener(lambda event, s, **_: found.append(event))
    jax.jit(lambda x: x + 17).lower(1.0).compile()
    assert host_memory._COMPILED in found


def test_giving_back_can_be_repeated_and_does_nothing_elsewhere_than_on_linux(monkeypatch):
    assert all(isinstance(host_memory.give_back(), bool) for _ in range(2))
    monkeypatch.setattr(host_memory.sys, "platform", "win32")
    monkeypatch.delattr(host_memory.ctypes, "CDLL")
    assert host_memory.give_back() is False
