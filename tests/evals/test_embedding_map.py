"""Maps of embeddings: any label as a colour, any number of points, and a note where there is none.

Vectors are made up (``people_data``); what is looked at is what a figure draws.
"""

import sys
import types
import warnings

import numpy as np
import pytest
from people_data import PeopleData, leaning, model, person

from elm_jax.data.manifest import ManifestError
from elm_jax.evals import planes
from elm_jax.evals.embedding_map import EmbeddingMap
from elm_jax.evals.planes import NoPlane, plane
from elm_jax.evals.point_labels import MOST_CLASSES, OTHERS, point_labels

STAGES = ("W", "N1", "N2", "N3", "R")


@pytest.fixture(autouse=True)
def no_warning_is_silent():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def night(name, split="train", windows=10, **labels):
    """A night whose windows have stages; the last one has none."""
    stages = [{"event": STAGES[i % 5]} for i in range(windows - 1)] + [{}]
    (row,) = person(name, split, pieces=stages)
    row.labels.update(labels)
    return [row]


def nights():
    return [
        night("a", age=31, sex="F"),
        night("b", age=64),  # whose sex nobody wrote down
        night("c", "test", age=52, sex="M"),
        night("d", "test", sex="F"),
    ]


def drawn(figure):
    """Points of each panel, by name in the legend."""
    panels = [axes for axes in figure.axes if axes.get_label() != "<colorbar>"]
    return [{c.get_label(): len(c.get_offsets()) for c in axes.collections} for axes in panels]


def test_windows_of_several_splits_are_coloured_by_stage_age_and_sex():
    data = PeopleData(nights(), leaning("age", 0.1), projection=False)
    evaluate = EmbeddingMap(
        ("train", "valid", "test"), ("event", "age", "sex"), points="windows", classes=STAGES
    )
    evaluate.check(data)
    result = evaluate(model, data)
    assert result.notes == () and result.scalars.keys() == {"pca_share_1", "pca_share_2"}
    figure = result.figures["embedding_pca"]
    stage, age, sex = drawn(figure)
    assert stage == {"no label": 4, "W": 8, "N1": 8, "N2": 8, "N3": 8, "R": 4}
    assert list(stage) == ["no label", *STAGES]  # by depth, not by the alphabet
    assert age == {"no label": 10, "age": 30} and sex == {"no label": 10, "F": 20, "M": 10}
    assert [axes.get_title() for axes in figure.axes[:3]] == ["event", "age", "sex"]
    (bar,) = (axes for axes in figure.axes if axes.get_label() == "<colorbar>")
    assert bar.get_ylim() == (31, 64) and "simulated" in figure.get_suptitle()


def test_recordings_have_no_colour_by_what_only_their_windows_have():
    result = EmbeddingMap(("train", "test"), ("event", "sex"))(
        model, PeopleData(nights(), leaning("age"))
    )
    assert drawn(result.figures["embedding_pca"])[0] == {"no label": 4}
    (note,) = result.notes
    assert "no colours by 'event': none of the recordings has it" in note


def test_a_label_that_nobody_has_leaves_a_map_without_colours():
    result = EmbeddingMap("train", "ill", points="windows")(
        model, PeopleData(nights(), leaning("age"))
    )
    assert drawn(result.figures["embedding_pca"]) == [{"no label": 20}]
    assert "no recording has a label 'ill'; known: age, event, sex" in result.notes[0]


def test_many_windows_are_drawn_by_chance_and_it_is_said():
    people = [person(f"p{i}", windows=50, sick=i % 2) for i in range(8)]
    data = PeopleData(people, leaning("sick"))
    evaluate = EmbeddingMap("train", "sick", points="windows", most_points=100)
    result = evaluate(model, data)
    (panel,) = drawn(result.figures["embedding_pca"])
    assert sum(panel.values()) == 100 and set(panel) == {"not sick", "sick"}
    assert result.notes == ("the map shows 100 of 400 windows, drawn",)
    again = evaluate(model, data).figures["embedding_pca"].axes[0].collections
    first = result.figures["embedding_pca"].axes[0].collections
    for ours, theirs in zip(first, again, strict=True):
        np.testing.assert_array_equal(ours.get_offsets(), theirs.get_offsets())


@pytest.mark.parametrize("method", ["pca", "tsne"])
def test_few_points_have_a_map_or_a_note(method):
    for n in range(1, 8):
        people = [person(f"p{i}", sick=i % 2) for i in range(n)]
        result = EmbeddingMap("train", "sick", method)(model, PeopleData(people, leaning("sick")))
        if n < planes.LEAST_POINTS[method]:
            assert result.figures == {}
            assert f"needs {planes.LEAST_POINTS[method]} points, found {n}" in result.notes[0]
        else:
            (panel,) = drawn(result.figures[f"embedding_{method}"])
            assert sum(panel.values()) == n


@pytest.mark.parametrize(
    ("vectors", "why"),
    [(np.ones((9, 4)), "all 9 vectors are the same"), (np.eye(9)[:, :1], "2 numbers or more")],
)
def test_vectors_without_a_plane_are_told(vectors, why):
    for method in ("pca", "tsne"):
        with pytest.raises(NoPlane, match=why):
            plane(vectors, method)


def test_groups_that_are_apart_stay_apart_in_every_plane():
    rng = np.random.default_rng(0)
    group = np.repeat([0, 1], 20)
    vectors = rng.normal(size=(40, 60)) + 8 * group[:, None]
    for method in ("pca", "tsne"):
        points = plane(vectors, method, seed=3).points
        np.testing.assert_array_equal(points, plane(vectors, method, seed=3).points)
        centre = np.stack([points[group == g].mean(0) for g in (0, 1)])
        distance = np.linalg.norm(points[:, None] - centre, axis=-1)
        np.testing.assert_array_equal(distance.argmin(1), group)


def test_umap_is_asked_for_with_few_neighbours_and_without_tensorflow(monkeypatch):
    asked = []

    class Umap:
        def __init__(self, **settings):
            asked.append(settings)

        def fit_transform(self, x):
            return x[:, :2]

    class Finder:
        """Imports umap as the real one does: TensorFlow with it, where it is there."""

        def find_spec(self, name, path=None, target=None):
            if name == "umap":
                asked.append(sys.modules.get("tensorflow", "free"))
            return None

    hidden = {k: v for k, v in sys.modules.items() if k.split(".")[0] in ("umap", "tensorflow")}
    for name in hidden:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setattr(sys, "meta_path", [Finder()])
    with pytest.raises(ModuleNotFoundError, match=r"needs umap-learn.*elm_jax\[umap\]"):
        planes.require_method("umap")
    assert asked == [None] and "tensorflow" not in sys.modules
    monkeypatch.setitem(sys.modules, "umap", types.SimpleNamespace(UMAP=Umap))
    asked.clear()
    for n in (6, 40):
        plane(np.random.default_rng(0).normal(size=(n, 3)), "umap", seed=5)
    few, many = asked
    assert (few["n_neighbors"], few["init"]) == (5, "random")
    assert (many["n_neighbors"], many["init"]) == (15, "spectral")
    assert {s["random_state"] for s in asked} == {5}


@pytest.mark.parametrize(
    ("settings", "why"),
    [
        (dict(method="mds"), "method 'mds' is unknown; known: .*'umap'"),
        (dict(points="people"), "points is 'people'; known"),
        (dict(label=()), "label is empty"),
        (dict(most_points=2), "most_points is 2"),
    ],
)
def test_settings_that_cannot_be_used_are_told(settings, why):
    with pytest.raises(ValueError, match=why):
        EmbeddingMap(**dict(split="test", label="sick") | settings)


def test_splits_that_hold_nobody_are_passed_over_unless_all_do():
    data = PeopleData([person("a", sick=1)], leaning("sick"))
    EmbeddingMap(("train", "test"), "sick").check(data)
    with pytest.raises(ManifestError, match="'valid' holds no recordings"):
        EmbeddingMap(("valid", "test"), "sick").check(data)


# -- what values are ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "classes", "codes"),
    [
        ([1, 0, None, "yes"], ("not x", "x"), [1, 0, np.nan, 1]),
        ([30, 41.5, np.nan, "52"], (), [30, 41.5, np.nan, 52]),
        ([1.0, 2.0, 2, 1], ("1", "2"), [0, 1, 1, 0]),  # nights, not an amount
        (["F", "m", "", "f"], ("F", "m"), [0, 1, np.nan, 0]),
        ([None, ""], (), [np.nan, np.nan]),
        (["31", "old"], ("31", "old"), [0, 1]),
        (["nan", "inf"], ("inf", "nan"), [1, 0]),
    ],
)
def test_values_are_classes_numbers_or_missing(values, classes, codes):
    found = point_labels(values, "x")
    assert found.classes == classes
    np.testing.assert_array_equal(found.value, codes)


def test_the_rare_ones_of_many_classes_are_others():
    values = [f"site{i:02d}" for i in range(30) for _ in range(1 + (i < 5))]
    found = point_labels(values, "site")
    assert len(found.classes) == MOST_CLASSES and found.classes[-1] == OTHERS
    assert {f"site{i:02d}" for i in range(5)} < set(found.classes)
    assert (found.value == MOST_CLASSES - 1).sum() == 35 - 10 - 6
    one = point_labels(["a", "b", None], "x=b")
    assert one.classes == ("not x=b", "x=b") and one.value[:2].tolist() == [0, 1]
