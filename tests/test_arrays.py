"""What becomes an array without doubt, and what is refused in words."""

import re

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
from flax import nnx

from gan_lib.arrays import as_array
from gan_lib.metrics import PrecisionRecall


class Tensor:
    """As PyTorch's: NumPy can read it, but not its dtype."""

    def __init__(self, x, needs_gradient=False):
        self.x, self.dtype, self.shape, self.needs_gradient = x, "torch.float32", x.shape, needs_gradient

    def __array__(self, dtype=None):
        if self.needs_gradient:
            raise RuntimeError("Can't call numpy() on Tensor that requires grad.\nUse detach")
        return self.x


NUMBERS = np.arange(6.0).reshape(2, 3)
READ = {
    "NumPy": NUMBERS,
    "JAX": jnp.asarray(NUMBERS, jnp.float32),
    "PyTorch": Tensor(NUMBERS),
    "Flax": nnx.Param(jnp.asarray(NUMBERS, jnp.float32)),
    "big-endian": NUMBERS.astype(">f4"),
    "Fortran": np.asfortranarray(NUMBERS),
    "bfloat16": NUMBERS.astype(ml_dtypes.bfloat16),
    "int4": NUMBERS.astype(ml_dtypes.int4),
    "bytes": NUMBERS.astype(np.uint8),
    "masked nowhere": np.ma.array(NUMBERS),
    "lists": NUMBERS.tolist(),
    "tuples": tuple(map(tuple, NUMBERS)),
    "rows": list(jnp.asarray(NUMBERS, jnp.float32)),
}


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize("value", READ.values(), ids=READ)
def test_what_holds_numbers_becomes_an_array(value, on_device):
    x = as_array(value, "x", on_device=on_device)
    assert type(x) is np.ndarray or (on_device and x is value)
    assert x.dtype.isnative
    np.testing.assert_array_equal(np.float64(x), NUMBERS)


def test_an_array_is_not_copied_without_need():
    assert np.shares_memory(as_array(NUMBERS, "x"), NUMBERS)
    x = jnp.ones(3)
    assert as_array(x, "x", on_device=True) is x


@pytest.mark.parametrize("value", [5, True, np.float32(2), [], np.nan])
def test_shape_and_values_are_the_callers_matter(value):
    np.testing.assert_array_equal(as_array(value, "x"), value)


def deleted():
    x = jnp.ones(3)
    x.delete()
    return x


REFUSED = [
    ((np.ones((5, 4)), np.ones(5)), "x is a tuple of 2 parts that make no array (ndarray(5, 4), ndarray(5,)"),
    ((np.ones(2), jax.random.key(0)), "x is a tuple of 2 parts that make no array"),
    ([[1, 2], [3]], "x is a list of 2 parts that make no array"),
    (PrecisionRecall(1, 0), "x is a PrecisionRecall, which holds precision, recall; expected one array"),
    (jax.random.key(0), "x is an array of key<fry>; expected numbers"),
    (deleted(), "memory JAX has given to another"),
    (Tensor(NUMBERS, needs_gradient=True), "x is a Tensor that NumPy cannot read (Can't call numpy()"),
    (np.array(["a"]), "x is an array of strings; expected an array of real numbers"),
    ("ab", "strings"),
    (b"ab", "bytes"),
    (np.array([1, None]), "x is an array of objects"),
    (None, "x is a NoneType; expected an array"),
    ({"a": 1}, "x is a dict"),
    (iter([1]), "x is a list_iterator"),
    (1j, "complex numbers"),
    (np.array(["2020-01-01"], "M8[D]"), "dates"),
    (np.array([1], "m8[s]"), "spans of time"),
    (np.zeros(2, [("a", "f4")]), "records"),
    (np.ma.array([1.0, 2.0], mask=[True, False]), "x has masked entries"),
]


@pytest.mark.parametrize("on_device", [False, True])
@pytest.mark.parametrize(("value", "words"), REFUSED, ids=[words for _, words in REFUSED])
def test_what_is_no_array_of_numbers_is_refused_in_words(value, words, on_device):
    with pytest.raises(ValueError, match=re.escape(words)) as told:
        as_array(value, "x", on_device=on_device)
    assert "\n" not in str(told.value)
    assert "expected" in str(told.value)


@pytest.mark.parametrize("change", [jax.jit, jax.grad], ids=["jit", "grad"])
def test_what_is_not_computed_yet_is_called_so(change):
    with pytest.raises(ValueError, match="x has no values yet"):
        change(lambda x: as_array(x, "x"))(1.0)
