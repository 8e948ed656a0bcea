"""The conversion engine: strict both ways."""

import hypothesis.extra.numpy as hnp
import hypothesis.strategies as st
import jax
import numpy as np
import pytest
from hypothesis import given

from elm_jax.convert import engine
from elm_jax.convert.engine import ConvertError, ConvertRule, Excuse

RULES = [
    ConvertRule(r"block\.(\d+)\.conv\.(\d+)\.weight", "params/b_{0}/c_{1}/kernel", "conv"),
    ConvertRule(r"head\.weight", "params/head/kernel", "dense"),
    ConvertRule(r"head\.bias", "params/head/bias"),
]
EXCUSES = [Excuse(r".*\.counter", "a counter", lambda: np.zeros((), np.int64))]


def state():
    rng = np.random.default_rng(0)
    shapes = {
        "block.0.conv.1.weight": (4, 3, 2),
        "block.1.conv.0.weight": (4, 4, 5),
        "head.weight": (6, 4),
        "head.bias": (6,),
    }
    tensors = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    return tensors | {"head.counter": np.array(7)}


def target():
    leaf = lambda *shape: jax.ShapeDtypeStruct(shape, np.float32)  # noqa: E731
    return {
        "params": {
            "b_0": {"c_1": {"kernel": leaf(2, 3, 4)}},
            "b_1": {"c_0": {"kernel": leaf(5, 4, 4)}},
            "head": {"kernel": leaf(4, 6), "bias": leaf(6)},
        }
    }


def convert(tensors, **kwargs):
    return engine.from_torch(tensors, RULES, target(), excuses=EXCUSES, source="toy.pt", **kwargs)


def test_every_tensor_arrives_and_returns():
    tree, report = convert(state())
    np.testing.assert_array_equal(tree["params"]["head"]["kernel"], state()["head.weight"].T)
    assert report.matched["block.1.conv.0.weight"] == "params/b_1/c_0/kernel"
    assert len(report.reshaped) == 3 and report.excused == {"head.counter": "a counter"}
    text = str(report)
    assert "4 tensors converted (3 with another layout), 1 excused" in text and "a counter" in text
    back = engine.to_torch(tree, RULES, kept=report.kept)
    assert set(back) == set(state())
    for name, tensor in state().items():
        assert back[name].tobytes() == tensor.tobytes() and back[name].dtype == tensor.dtype


def test_a_left_out_tensor_is_written_by_its_excuse():
    tree, _ = convert(state())
    back = engine.to_torch(tree, RULES, excuses=EXCUSES, fill=["head.counter"])
    assert back["head.counter"] == 0 and back["head.counter"].dtype == np.int64
    with pytest.raises(ConvertError, match="nothing"):
        engine.to_torch(tree, RULES, excuses=EXCUSES, fill=["nothing"])


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("head.weight", np.zeros((5, 4), np.float32), r"head.weight.*expected shape \(4, 6\).*5"),
        ("head.weight", np.zeros(24, np.float32), "head.weight.*2 axes"),
        ("head.bias", np.zeros(6, np.int32), "head.bias.*floating point.*int32"),
        ("head.bias", np.zeros(6), "head.bias.*float64.*without loss"),
        ("head.bias", np.full(6, np.nan, np.float32), "head.bias.*NaN"),
        ("head.bias", np.full(6, np.inf, np.float32), "head.bias.*infinity"),
        ("stray", np.zeros(1, np.float32), "stray: unexpected"),
        ("block.7.conv.0.weight", np.zeros((1, 1, 1), np.float32), "b_7.*no such parameter"),
    ],
)
def test_a_tensor_that_does_not_fit_is_named(name, value, message):
    with pytest.raises(ConvertError, match=message) as error:
        convert(state() | {name: value})
    assert "toy.pt" in str(error.value)


def test_a_missing_tensor_is_an_error_unless_expected():
    tensors = state()
    del tensors["head.bias"]
    with pytest.raises(ConvertError, match="params/head/bias: missing"):
        convert(tensors)
    tree, report = convert(
        tensors, expected_missing=[Excuse("params/head/bias", "this head has none")]
    )
    assert "bias" not in tree["params"]["head"]
    assert report.excused["params/head/bias"] == "this head has none"


def test_all_problems_are_listed_at_once():
    tensors = state() | {"stray": np.zeros(1, np.float32)}
    del tensors["head.bias"]
    with pytest.raises(ConvertError, match="(?s)head/bias.*stray"):
        convert(tensors)


def test_two_tensors_cannot_fill_one_place():
    rules = [*RULES, ConvertRule(r"head\.offset", "params/head/bias")]
    tensors = state() | {"head.offset": np.zeros(6, np.float32)}
    with pytest.raises(ConvertError, match="head.offset.*already filled"):
        engine.from_torch(tensors, rules, target(), excuses=EXCUSES)


def test_half_precision_is_widened_and_reported():
    tensors = state()
    tensors["head.bias"] = tensors["head.bias"].astype(np.float16)
    tree, report = convert(tensors)
    assert tree["params"]["head"]["bias"].dtype == np.float32
    assert report.widened == {"head.bias": "float16 -> float32"}


def test_a_path_without_a_rule_cannot_be_exported():
    with pytest.raises(ConvertError, match="params/x"):
        engine.to_torch({"params": {"x": np.zeros(1)}}, RULES)


def test_a_rule_that_cannot_run_backwards_is_an_error():
    with pytest.raises(ConvertError, match="backwards"):
        engine.to_torch({"a": np.zeros(1)}, [ConvertRule(r"a.*", "a")])


@given(
    hnp.arrays(
        np.float32, hnp.array_shapes(min_dims=3, max_dims=3), elements=st.floats(-1, 1, width=32)
    )
)
def test_transforms_are_undone_exactly(x):
    stored = dict.fromkeys(engine.TRANSFORMS, x) | {
        "dense": x[0],
        "image": x[:, None],
        "pointwise": x[..., :1],
        "patch": x[:, :1, None],
        "across": x[:, None, :, :1],
        "along": x[:, :, None],
        "depthwise": x[:, :1],
        "row": x[:1],
        "rows": x[None, :1],
    }
    for name, transform in engine.TRANSFORMS.items():
        ours = transform.to_ours(stored[name])
        assert ours.ndim == stored[name].ndim - transform.units
        np.testing.assert_array_equal(transform.to_torch(ours), stored[name])


SHARED = [
    ConvertRule(
        r"a\.(\d+)\.qkv", tuple(f"l_{{0}}/{n}" for n in ("query", "key", "value")), "dense"
    ),
    ConvertRule(r"token", "token", "row"),
]


def shared_target():
    one = jax.ShapeDtypeStruct((4, 4), np.float32)
    layers = {f"l_{i}": dict(query=one, key=one, value=one) for i in range(2)}
    return layers | {"token": jax.ShapeDtypeStruct((3, 5), np.float32)}


def test_a_tensor_that_several_parameters_share_is_cut_and_joined_again():
    rng = np.random.default_rng(0)
    tensors = {f"a.{i}.qkv": rng.normal(size=(12, 4)).astype(np.float32) for i in range(2)}
    tensors["token"] = rng.normal(size=(1, 3, 5)).astype(np.float32)
    tree, report = engine.from_torch(tensors, SHARED, shared_target())
    np.testing.assert_array_equal(tree["l_1"]["key"], tensors["a.1.qkv"][4:8].T)
    assert report.matched["a.0.qkv"] == "l_0/query, l_0/key, l_0/value"
    assert report.reshaped["a.0.qkv"] == "(12, 4) -> 3 x (4, 4)"
    back = engine.to_torch(tree, SHARED)
    assert all(back[name].tobytes() == tensor.tobytes() for name, tensor in tensors.items())
    del tree["l_1"]["key"]
    with pytest.raises(ConvertError, match=r"only parts of a\.1\.qkv"):
        engine.to_torch(tree, SHARED)


@pytest.mark.parametrize(
    ("name", "shape", "message"),
    [
        ("a.0.qkv", (13, 4), r"a.0.qkv: \(13, 4\) does not divide into 3"),
        ("a.0.qkv", (9, 4), r"a.0.qkv -> l_0/query: expected shape \(4, 4\), found \(4, 3\)"),
        ("token", (2, 3, 5), r"token -> token: .*stored as \(2, 3, 5\)"),
        ("token", (3, 5), "token -> token: expected 3 axes"),
    ],
)
def test_parts_and_dropped_axes_must_be_whole(name, shape, message):
    tensors = {f"a.{i}.qkv": np.zeros((12, 4), np.float32) for i in range(2)}
    tensors |= {"token": np.zeros((1, 3, 5), np.float32), name: np.zeros(shape, np.float32)}
    with pytest.raises(ConvertError, match=message):
        engine.from_torch(tensors, SHARED, shared_target())
