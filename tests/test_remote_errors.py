"""What a store's clients raise becomes one line; what we say of a path stays as it is."""

import pytest

from elm_jax import paths
from elm_jax.data.manifest import NotPrepared


def of(module, name, message, base=Exception):
    """An error as a client has it, whose package need not be here."""
    return type(name, (base,), {"__module__": module})(message)


TF, GOOGLE = "tensorflow.python.framework.errors_impl", "google.api_core.exceptions"


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (
            of(TF, "PermissionDeniedError", "HTTP response code 403 when reading gs://b/x"),
            "no access",
        ),
        (of(TF, "UnauthenticatedError", "code 401 when reading gs://b/x"), "no access to gs://b/x"),
        (of(GOOGLE, "Forbidden", "403 GET http://..."), "no access"),
        (
            of("google.auth.exceptions", "DefaultCredentialsError", "none"),
            "gcloud auth application",
        ),
        (of(TF, "NotFoundError", "Could not find directory gs://b/x"), "gs://b/x is not there"),
        (FileNotFoundError("The specified path gs://b/x was not found."), "gs://b/x is not there"),
        (ValueError('PERMISSION_DENIED: opening "zarr": gs://b/x'), "no access to gs://b/x"),
        (
            of(TF, "FailedPreconditionError", "Could not resolve host when gs://b/x"),
            "check the netw",
        ),
        (of(TF, "UnavailableError", "gs://b/x"), "cannot be reached"),
    ],
)
def test_what_a_client_raises_is_one_line(error, says):
    line = paths.explain(error)
    assert says in line and "\n" not in line
    with pytest.raises(OSError, match="gs://"), paths.told():
        raise error


@pytest.mark.parametrize(
    "error",
    [
        NotPrepared("gs://b/x: no such directory; prepare a corpus first"),
        FileNotFoundError("gs://b/run/checkpoints: no finished checkpoint; train into it first"),
        ValueError("gs://b/run holds a run of another config"),
        KeyError("a fault of the program"),
        of(TF, "InvalidArgumentError", "shapes differ"),
    ],
)
def test_what_is_about_something_else_stays_as_it_is(error):
    assert paths.explain(error) is None
    with pytest.raises(type(error)) as told, paths.told():
        raise error
    assert told.value is error


def test_a_missing_object_is_a_missing_file():
    with pytest.raises(FileNotFoundError), paths.told():
        raise of(TF, "NotFoundError", "gs://b/x")
