"""What is restored is what was saved, bit for bit, whatever holds it; or the first save says why not."""

import json
import os
import re
import subprocess
import sys
import threading
import time
import warnings
from pathlib import Path

import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import optax
import pytest
import safetensors.numpy
from flax import nnx

from gan_lib.checkpoint import _here, header, place, restore, restore_history, save
from gan_lib.gan import GAN
from gan_lib.nets import small_discriminator, small_generator

X = np.arange(24, dtype=np.float32).reshape(4, 6) + 0.5


def read_only(x):
    x = x.copy()
    x.flags.writeable = False
    return x


def mapped(x, folder):
    x.tofile(folder / "mapped")
    return np.memmap(folder / "mapped", x.dtype, "r", shape=x.shape)


def matrix(x):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", PendingDeprecationWarning)
        return np.matrix(x)


MEMORY = {
    "C order": lambda x, _: x,
    "transposed": lambda x, _: x.T,
    "Fortran": lambda x, _: np.asfortranarray(x),
    "reversed": lambda x, _: x[::-1, ::-1],
    "strided": lambda x, _: x[::2, 1::3],
    "a column": lambda x, _: x[:, 1],
    "broadcast": lambda x, _: np.broadcast_to(x[:1], (5, 6)),
    "one number, broadcast": lambda x, _: np.broadcast_to(x[0, 0], (7, 3)),
    "windows": lambda x, _: np.lib.stride_tricks.sliding_window_view(x, 2, axis=1),
    "no entries": lambda x, _: x[:0],
    "no columns": lambda x, _: x[:, :0].T,
    "0-d": lambda x, _: np.array(x[1, 2]),
    "0-d view": lambda x, _: x[1, 2, ...],
    "big-endian": lambda x, _: x.astype(x.dtype.newbyteorder(">")),
    "big-endian, transposed": lambda x, _: x.astype(x.dtype.newbyteorder(">")).T,
    "unaligned": lambda x, _: np.frombuffer(b"\0" + x.tobytes(), x.dtype, offset=1).reshape(x.shape),
    "a field": lambda x, _: np.rec.fromarrays([x, x + 1], names="a,b")["b"],
    "read-only": lambda x, _: read_only(x),
    "matrix": lambda x, _: matrix(x).T,
    "masked nowhere": lambda x, _: np.ma.array(x).T,
    "mapped": lambda x, folder: mapped(x, folder).T,
    "JAX": lambda x, _: jnp.asarray(x).T,
}


@pytest.mark.parametrize("dtype", [np.float32, ml_dtypes.bfloat16, np.complex64], ids=["f4", "bf16", "c8"])
@pytest.mark.parametrize("view", MEMORY.values(), ids=MEMORY)
def test_restored_equals_saved_however_it_lies_in_memory(view, dtype, tmp_path):
    if dtype is ml_dtypes.bfloat16 and view in (MEMORY["big-endian"], MEMORY["big-endian, transposed"]):
        pytest.skip("ml_dtypes has no other byte order")
    saved = view(X.astype(dtype), tmp_path)
    save(tmp_path / "x.st", {"w": saved}, history={"loss": saved})
    restored = restore(tmp_path / "x.st", {"w": saved})["w"]
    assert restored.shape == saved.shape
    assert restored.dtype == np.asarray(saved).dtype.newbyteorder("=")
    np.testing.assert_array_equal(np.asarray(restored), np.asarray(saved))
    np.testing.assert_array_equal(restore_history(tmp_path / "x.st")["loss"], np.asarray(saved))


def test_nothing_outside_the_array_is_written(tmp_path):
    secret = np.frombuffer(b"SECRET" * 400, np.uint8)
    memory = np.concatenate([np.zeros(600, np.uint8), secret])
    for view in (
        memory[:600][::-1],
        memory[:600:3],
        np.broadcast_to(memory[:1], (600,)),
        memory[:600].reshape(2, 300).T,
    ):
        save(tmp_path / "x.st", {"w": view})
        assert b"SECRET" not in (tmp_path / "x.st").read_bytes()


TYPES = [
    getattr(ml_dtypes, name)
    for name in dir(ml_dtypes)
    if isinstance(getattr(ml_dtypes, name), type) and name not in ("finfo", "iinfo")
]
TYPES += [np.dtype(code).type for code in "?bBhHiIqQefdFD"]


@pytest.mark.parametrize("dtype", TYPES, ids=lambda t: np.dtype(t).name)
def test_every_type_of_a_state_comes_back_bit_for_bit(dtype, tmp_path):
    """Of NumPy, where JAX has no such type; each bit pattern of a type of 16 bits or fewer, NaN included."""
    dtype = np.dtype(dtype)
    bits = np.random.default_rng(0).integers(0, 256, (2**16, dtype.itemsize)).astype(np.uint8)
    sub = re.fullmatch(r"(u?int|float)(\d)\D*.*", dtype.name)
    if dtype.kind == "b" or (sub and int(sub[2]) < 8):  # what the other bits hold is nobody's
        numbers = np.arange(-8, 8).astype(np.float32).astype(dtype)
    else:
        numbers = bits.reshape(-1).view(dtype)
    with np.errstate(all="ignore"):
        save(tmp_path / "x.st", state := {"w": numbers.reshape(2, -1), "step": np.int32(3)})
    restored = restore(tmp_path / "x.st", state)
    assert restored["w"].dtype == dtype
    assert restored["w"].tobytes() == numbers.tobytes()
    assert restored["step"] == 3


@pytest.mark.parametrize("dtype", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "int4", "uint4", "float16", "complex64"])
def test_jax_arrays_of_every_type_come_back(dtype, tmp_path):
    x = jnp.arange(6).astype(dtype)
    save(tmp_path / "x.st", {"w": x})
    restored = restore(tmp_path / "x.st", {"w": jnp.zeros_like(x)})["w"]
    assert isinstance(restored, jax.Array)
    assert restored.dtype == x.dtype
    assert np.asarray(restored).tobytes() == np.asarray(x).tobytes()
    with pytest.raises(ValueError, match=rf"another network: at \['w'\] it has {dtype} \(6,\), state_like has float32"):
        restore(tmp_path / "x.st", {"w": jnp.zeros(6)})


@pytest.mark.parametrize("number", [3, -1.5, 0.1, True, 2j, 2**40, np.float32(0.1), np.float64(0.1), np.int8(-3)])
def test_numbers_come_back_as_what_they_were(number, tmp_path):
    save(tmp_path / "x.st", [number, X])
    restored = restore(tmp_path / "x.st", [number, X])[0]
    assert restored == number
    assert type(restored) is type(number)


def test_numpy_arrays_that_jax_would_round_come_back_whole(tmp_path):
    state = {"a": np.array([0.1, 1e300]), "b": np.array([2**60])}
    save(tmp_path / "x.st", state)
    restored = restore(tmp_path / "x.st", state)
    assert all(np.array_equal(restored[name], state[name]) for name in state)
    restored["a"][0] = 1  # it is the reader's own


@pytest.mark.parametrize("impl", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_keys_draw_on_whatever_draws_them(impl, tmp_path):
    state = {"one": jax.random.key(3, impl=impl), "many": jax.random.split(jax.random.key(4, impl=impl), 3)}
    save(tmp_path / "x.st", state)
    restored = restore(tmp_path / "x.st", state)
    for name in state:
        assert restored[name].dtype == state[name].dtype
        np.testing.assert_array_equal(jax.random.key_data(restored[name]), jax.random.key_data(state[name]))
    for other in {"threefry2x32", "rbg", "unsafe_rbg"} - {impl}:  # two of them have as many numbers
        like = {"one": jax.random.key(0, impl=other), "many": jax.random.split(jax.random.key(0, impl=other), 3)}
        with pytest.raises(ValueError, match=r"another network: at .* it has key<.*, state_like has key<"):
            restore(tmp_path / "x.st", like)
    save(tmp_path / "x.st", jax.tree.map(jax.random.key_data, state))  # as earlier versions wrote them
    assert jax.tree.map(lambda x: x.dtype, restore(tmp_path / "x.st", state)) == jax.tree.map(lambda x: x.dtype, state)


def test_a_lone_array_and_a_state_without_arrays_come_back(tmp_path):
    for state in (X, {}, None, nnx.state(nnx.Linear(2, 3, rngs=nnx.Rngs(0)))):
        save(tmp_path / "x.st", state)
        assert jax.tree.all(jax.tree.map(np.array_equal, restore(tmp_path / "x.st", state), state))


def deleted():
    x = jnp.ones(3)
    x.delete()
    return x


REFUSED = {
    "objects": np.array([1, None]),
    "text": "adam",
    "texts": np.array(["a"]),
    "bytes": b"a",
    "dates": np.array(["2020-01-01"], "M8[D]"),
    "spans": np.array([1], "m8[s]"),
    "records": np.zeros(2, [("a", "f4")]),
    "void": np.zeros(2, "V4"),
    "float0": np.zeros(2, jax.dtypes.float0),
    "long": np.longdouble(1),
    "large": 2**70,
    "masked": np.ma.array([1, 2], mask=[True, False]),
    "function": len,
    "deleted": deleted(),
}


@pytest.mark.parametrize("leaf", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_read_again_is_refused_at_the_save(leaf, tmp_path):
    if getattr(leaf, "dtype", None) == np.float64:
        pytest.skip("long numbers are as long as others here")
    with pytest.raises(ValueError, match=r"The state's leaf \['opt'\] .*expected numbers, or arrays") as told:
        save(tmp_path / "x.st", {"opt": leaf})
    assert "\n" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


def test_what_is_not_computed_yet_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"The state is no array .*expected numbers"):
        jax.jit(lambda x: save(tmp_path / "x.st", x))(1.0)


def test_files_of_earlier_versions_are_read(tmp_path):
    """They held BF16 and F8 under safetensors' names, and could not be read then."""
    state = {"a": X.astype(ml_dtypes.bfloat16), "b": X.astype(ml_dtypes.float8_e4m3fn), "c": X}
    old = {f"['{name}']": x for name, x in state.items()} | {"history loss": np.ones(3)}
    (tmp_path / "x.st").write_bytes(safetensors.numpy.save(old, {"gan_lib": "1", "command": "make"}))
    restored = restore(tmp_path / "x.st", state)
    assert all(restored[name].tobytes() == state[name].tobytes() for name in state)
    assert restore_history(tmp_path / "x.st")["loss"].tolist() == [1, 1, 1]
    assert header(tmp_path / "x.st") == {"gan_lib": "1", "command": "make"}


def test_earlier_versions_read_what_they_could(tmp_path):
    save(tmp_path / "x.st", {"a": X.T, "b": np.int32(3)})
    plain = safetensors.numpy.load((tmp_path / "x.st").read_bytes())
    np.testing.assert_array_equal(plain["['a']"], X.T)
    assert header(tmp_path / "x.st") == {"gan_lib": "1"}


def test_notes_do_not_hide_the_format(tmp_path):
    save(tmp_path / "x.st", {"a": jax.random.key(0)}, notes={"gan_lib": "9", "gan_lib types": "{}", "steps": 5})
    restore(tmp_path / "x.st", {"a": jax.random.key(1)})
    assert header(tmp_path / "x.st")["steps"] == "5"


def test_a_type_from_the_future_is_refused_in_words(tmp_path):
    notes = {"gan_lib": "1", "gan_lib types": json.dumps({"['a']": "float3"})}
    (tmp_path / "x.st").write_bytes(safetensors.numpy.save({"['a']": np.zeros((2, 1), np.uint8)}, notes))
    with pytest.raises(ValueError, match=r"holds float3 at .*Update JAX"):
        restore(tmp_path / "x.st", {"a": np.zeros(2)})


# Eight bits


def kernels():
    """Each channel of another size, one of zeros; a bias, a step and a key beside them."""
    kernel = np.random.default_rng(0).normal(size=(3, 3, 8, 6)).astype(np.float32) * 10.0 ** np.arange(-3, 3)
    kernel[..., 2] = 0
    state = {"conv": {"kernel": kernel, "bias": np.float32([0.1, 0.2, 0.3])}, "dense": kernel[0, 0], "n": np.int32(7)}
    return state | {"key": jax.random.key(3), "half": jnp.ones((2, 2), jnp.bfloat16) / 3}


def test_in_eight_bits_a_weight_is_off_by_half_a_scale_at_most(tmp_path):
    state = jax.tree.map(jnp.asarray, kernels()) | {"as they are": kernels()["dense"]}
    save(
        tmp_path / "x.st",
        state,
        notes={"command": "train"},
        history={"loss": np.ones((4, 2), np.float32)},
        eight_bits=True,
    )
    back = restore(tmp_path / "x.st", state)
    for kernel, again in ((state["conv"]["kernel"], back["conv"]["kernel"]), (state["dense"], back["dense"])):
        largest = np.abs(kernel).reshape(-1, 6).max(axis=0)  # of each output channel
        assert again.dtype == np.float32
        assert (np.abs(again - kernel).reshape(-1, 6) <= largest / 254 * (1 + 1e-5)).all()
        np.testing.assert_allclose(np.abs(again).reshape(-1, 6).max(axis=0), largest, rtol=1e-6)
    assert isinstance(back["dense"], jax.Array)
    assert isinstance(back["as they are"], np.ndarray)
    np.testing.assert_array_equal(back["conv"]["bias"], state["conv"]["bias"])
    assert (back["n"], jax.random.bits(back["key"])) == (7, jax.random.bits(state["key"]))
    np.testing.assert_array_equal(back["half"], state["half"])
    assert restore_history(tmp_path / "x.st")["loss"].dtype == np.float32
    assert header(tmp_path / "x.st")["command"] == "train"
    save(tmp_path / "y.st", back, eight_bits=True)  # once more costs nothing more
    for one, two in zip(*(jax.tree.leaves(restore(tmp_path / name, state)) for name in ("x.st", "y.st")), strict=True):
        if one.dtype == np.float32:
            np.testing.assert_allclose(one, two, rtol=1e-6)
    with pytest.raises(ValueError, match="from another network"):
        restore(tmp_path / "x.st", state | {"dense": np.zeros((6, 8), np.float32)})


def test_eight_bits_take_a_quarter_of_the_size(tmp_path):
    state = {"kernel": np.random.default_rng(0).normal(size=(300, 200)).astype(np.float32)}
    for name, eight_bits in (("x.st", False), ("y.st", True)):
        save(tmp_path / name, state, eight_bits=eight_bits)
    assert (tmp_path / "y.st").stat().st_size < 0.27 * (tmp_path / "x.st").stat().st_size


def test_weights_without_a_scale_are_refused_at_the_save(tmp_path):
    with pytest.raises(ValueError, match=r"leaf \['w'\] is not finite"):
        save(tmp_path / "x.st", {"w": np.float32([[1, np.nan]])}, eight_bits=True)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        lambda arrays: arrays.pop("['w'] scale"),
        lambda arrays: arrays.pop("['w']"),
        lambda arrays: arrays.update({"['w'] scale": arrays["['w'] scale"][:1]}),
        lambda arrays: arrays.update({"['w'] scale": np.float32([0.1, np.nan, 0.1])}),
        lambda arrays: arrays.update({"['w'] scale": np.float32([0.1, -0.1, 0.1])}),
        lambda arrays: arrays.update({"['w'] scale": np.float64([0.1, 0.1, 0.1])}),
        lambda arrays: arrays.update({"['w']": arrays["['w']"].astype(np.float32)}),
    ],
    ids=["no scale", "no numbers", "too few scales", "NaN", "negative", "float64", "not int8"],
)
def test_damaged_eight_bits_are_refused_in_words(change, tmp_path):
    path = tmp_path / "x.st"
    save(path, state := {"w": np.float32([[1, 2, 3], [4, 5, 6]])}, eight_bits=True)
    arrays, notes = safetensors.numpy.load(path.read_bytes()), header(path)
    change(arrays)
    path.write_bytes(safetensors.numpy.save(arrays, notes))
    with pytest.raises(ValueError, match=r"x\.st is damaged: at \['w'\] it should hold int8 numbers and a scale"):
        restore(path, state)


def test_it_says_when_only_the_optimiser_differs(tmp_path):
    make = lambda rate: GAN(small_generator, small_discriminator, latent_dim=16, optimizer=optax.adam(rate))
    save(tmp_path / "x.st", make(1e-3).init(jax.random.key(0)))
    with pytest.raises(ValueError, match=r"another network or optimiser \(a schedule adds a counter\): at \.opt"):
        restore(tmp_path / "x.st", make(optax.constant_schedule(1e-3)).init(jax.random.key(0)))


# --- places ---------------------------------------------------------------------------------------------------------


def test_the_home_folder_is_found(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    save("~/x.st", {"a": X}, history={"loss": X})
    assert (tmp_path / "x.st").is_file()
    np.testing.assert_array_equal(restore("~/x.st", {"a": X})["a"], X)
    np.testing.assert_array_equal(restore_history(Path("~/x.st"))["loss"], X)
    assert header("~/x.st") == {"gan_lib": "1"}


@pytest.mark.parametrize("use", [save, restore, lambda path, _: restore_history(path), lambda path, _: header(path)])
def test_a_path_that_is_no_files_is_refused_in_words(use, tmp_path):
    (tmp_path / "link").symlink_to(tmp_path)
    for path, words in [
        ("", "needs a file's name"),
        (None, "needs a file's name"),
        (True, "needs a file's name"),
        (Path(), "is a folder"),
        (tmp_path, "is a folder; expected a file. Add a name"),
        (tmp_path / "link", "is a folder"),
        (f"{tmp_path}/new/", "is a folder"),
        (os.devnull, "is a device"),
    ]:
        with pytest.raises(ValueError, match=words):
            use(path, {"a": X})
    assert [p.name for p in tmp_path.iterdir()] == ["link"]


@pytest.mark.parametrize("there", [True, False])
def test_a_link_is_written_through(there, tmp_path):
    (tmp_path / "drive").mkdir()
    target, link = tmp_path / "drive" / "x.st", tmp_path / "x.st"
    if there:
        save(target, {"a": 0 * X})
    link.symlink_to(target)
    save(link, {"a": X})
    assert link.is_symlink()
    assert not target.is_symlink()
    np.testing.assert_array_equal(restore(target, {"a": X})["a"], X)
    np.testing.assert_array_equal(restore(link, {"a": X})["a"], X)
    assert place(link) == target


def test_two_trainings_may_save_to_one_path_at_a_time(tmp_path):
    trouble = []

    def write(value):
        try:
            for _ in range(30):
                save(tmp_path / "x.st", {"a": np.full(100_000, value)})
        except Exception as error:
            trouble.append(error)

    threads = [threading.Thread(target=write, args=(value,)) for value in range(3)]
    code = "import sys, numpy as np; from gan_lib.checkpoint import save\n"
    code += "for _ in range(30): save(sys.argv[1], {'a': np.full(100_000, 9)})"
    other = subprocess.Popen([sys.executable, "-c", code, tmp_path / "x.st"])
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert other.wait() == 0
    assert trouble == []
    a = restore(tmp_path / "x.st", {"a": np.zeros(100_000, int)})["a"]
    assert (a == a[0]).all()
    assert [p.name for p in tmp_path.iterdir()] == ["x.st"]


def test_what_killed_writers_left_goes_with_the_next_save(tmp_path):
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    names = {
        "dead": f"x.st.{_here()}-{ended.pid}-1.part",
        "alive": f"x.st.{_here()}-{os.getppid()}-1.part",
        "elsewhere": f"x.st.elsewhere-{ended.pid}-1.part",
        "elsewhere, old": f"x.st.elsewhere-{ended.pid}-2.part",
        "alive, old": f"x.st.{_here()}-{os.getppid()}-2.part",
        "of an earlier version": "x.st.part",
        "of another file": f"x.st2.{_here()}-{ended.pid}-1.part",
        "the reader's": "x.st.my.part",
    }
    for what, name in names.items():
        (tmp_path / name).write_bytes(b"")
        if "old" in what or "earlier" in what:
            os.utime(tmp_path / name, (time.time() - 7200,) * 2)
    save(tmp_path / "x.st", {"a": X})
    left = {what for what, name in names.items() if (tmp_path / name).exists()}
    gone = {"elsewhere, old", "alive, old", "of an earlier version"} | ({"dead"} if os.name == "posix" else set())
    assert left == names.keys() - gone
