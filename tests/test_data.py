"""gan_lib.data: the files are what was published or an error says what to do; the mixtures are what they claim to be."""

import errno
import gzip
import hashlib
import math
import os
import re
import signal
import socket
import struct
import sys
import threading
import time
import urllib.error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_lib import data, fetch

DIGITS = "mnist/t10k-images-idx3-ubyte.gz"
CLOTHES = "fashion-mnist/t10k-images-idx3-ubyte.gz"
LABELS = "mnist/t10k-labels-idx1-ubyte.gz"


# The real files


@pytest.fixture(scope="module")
def digits():
    return {split: data.mnist(split) for split in ("train", "test")}


@pytest.mark.parametrize(("split", "n"), [("train", 60_000), ("test", 10_000)])
def test_mnist_shapes_types_and_range(digits, split, n):
    images, labels = digits[split]
    assert images.shape == (n, 28, 28, 1)
    assert images.dtype == np.float32
    assert labels.shape == (n,)
    assert labels.dtype == np.int32
    assert images.min() == -1.0
    assert images.max() == 1.0
    levels = (images[:500].astype(float) + 1) * 127.5
    np.testing.assert_allclose(levels, levels.round(), atol=1e-4)
    images[0], labels[0] = images[0], labels[0]  # they are the reader's own, not read-only views


def test_mnist_is_mnist(digits):
    """Class counts, first labels, mean and deviation of the pixels as published everywhere."""
    (images, labels), (test_images, test_labels) = digits["train"], digits["test"]
    assert np.bincount(labels).tolist() == [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    assert np.bincount(test_labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert test_labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert (images.mean(dtype=float) + 1) / 2 == pytest.approx(0.1307, abs=5e-5)
    assert images[::7].std(dtype=float) / 2 == pytest.approx(0.3081, abs=1e-3)
    assert (test_images.mean(dtype=float) + 1) / 2 == pytest.approx(0.1325, abs=5e-5)
    assert test_images.std(dtype=float) / 2 == pytest.approx(0.3105, abs=5e-5)


def test_mnist_images_are_upright_and_belong_to_the_labels(digits):
    images, labels = digits["test"]
    ink = (images[..., 0] + 1) / 2
    one, zero = ink[labels == 1].mean(axis=0), ink[labels == 0].mean(axis=0)
    place = np.arange(28) - 13.5
    spread = [np.sqrt((one.sum(axis=axis) * place**2).sum() / one.sum()) for axis in (1, 0)]
    assert spread[0] > 1.5 * spread[1]  # a one is high and narrow: rows come first
    assert zero[12:16, 12:16].mean() < 0.1 < 0.5 < one[12:16, 12:16].mean()  # a hole against a stroke
    seven = ink[labels == 7].mean(axis=0)
    assert seven[7:10, 7:20].mean() > 2 * seven[18:21, 7:20].mean()  # the bar of a seven is on top


def test_mnist_in_the_repository_needs_no_network(monkeypatch, tmp_path):
    def no_network(*_, **__):
        raise AssertionError("mnist() went to the network")

    monkeypatch.setattr(fetch.urllib.request, "urlopen", no_network)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "nowhere"))
    assert len(data.mnist("test")[1]) == 10_000
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(
    not Path("/usr/share/datasets/fashion-mnist").is_dir(), reason="needs Debian's dataset-fashion-mnist"
)
def test_debians_fashion_mnist():
    for split, n in (("train", 60_000), ("test", 10_000)):
        images, labels = data.fashion_mnist(split)
        assert images.shape == (n, 28, 28, 1)
        assert (images.min(), images.max()) == (-1.0, 1.0)
        assert np.bincount(labels).tolist() == [n // 10] * 10
    assert labels[:5].tolist() == [9, 2, 1, 1, 6]


@pytest.mark.parametrize("load", [data.mnist, data.fashion_mnist])
@pytest.mark.parametrize("split", ["valid", "Train", "", None, 0, ["train"]])
def test_unknown_split(load, split):
    with pytest.raises(ValueError, match=r'"train" \(60,000 images\) and "test" \(10,000 images\)') as caught:
        load(split)
    assert repr(split) in str(caught.value)


def test_readme_names_licence_source_and_checksums():
    text = (fetch.REPOSITORY / "mnist" / "README.md").read_text()
    for file, digest in fetch.SHA256.items():
        if file.startswith("mnist/"):
            assert f"`{Path(file).name}` | `{digest}`" in text
    for words in ("CC BY-SA 3.0", "Yann LeCun", "Corinna Cortes", "creativecommons.org/licenses/by-sa/3.0"):
        assert words in text


# Small files in the place of the published ones


@pytest.fixture
def small(monkeypatch):
    """Eight small files, packed, that count as the published ones; .images and .labels are what they hold."""
    rng = np.random.default_rng(0)
    packed, images, labels = {}, {}, {}
    for number, file in enumerate(fetch.SHA256):
        if "images" in file:
            images[file] = rng.integers(0, 256, (5 + number, 28, 28), dtype=np.uint8)
            content = struct.pack(">4B3I", 0, 0, 8, 3, *images[file].shape) + images[file].tobytes()
        else:
            labels[file] = rng.integers(0, 10, 4 + number, dtype=np.uint8)  # as many as the images before
            content = struct.pack(">4BI", 0, 0, 8, 1, len(labels[file])) + labels[file].tobytes()
        monkeypatch.setitem(fetch.SHA256, file, hashlib.sha256(content).hexdigest())
        packed[file] = gzip.compress(content)
    return SimpleNamespace(packed=packed, images=images, labels=labels)


@pytest.fixture
def server():
    """A web server: .pages maps a path to bytes or to a function of the request; .asked lists the paths asked for."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            site.asked.append(self.path)
            page = site.pages.get(self.path)
            if page is None:
                self.send_error(404)
            elif callable(page):
                page(self)
            else:
                self.answer(len(page), page)

        def answer(self, length, body):
            self.send_response(200)
            self.send_header("Content-Length", str(length))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site = SimpleNamespace(pages={}, asked=[], url=f"http://127.0.0.1:{http.server_port}")
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield site
    http.shutdown()
    thread.join()
    http.server_close()


@pytest.fixture
def installed(monkeypatch, tmp_path, server):
    """gan_lib without its repository: nothing on the machine, two mirrors for each set; returns the cache's files."""
    monkeypatch.setattr(fetch, "REPOSITORY", tmp_path / "repository")
    monkeypatch.setattr(fetch, "SYSTEM", tmp_path / "system")
    monkeypatch.setattr(fetch, "TIMEOUT", 5.0)
    for name in fetch.MIRRORS:
        monkeypatch.setitem(fetch.MIRRORS, name, (f"{server.url}/one/{name}/", f"{server.url}/two/{name}/"))
    monkeypatch.delenv("GAN_COURSE_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "*")
    return lambda: sorted(str(p.relative_to(tmp_path / "cache")) for p in tmp_path.glob("cache/**/*") if not p.is_dir())


def put(root, files):
    for file, packed in files.items():
        (root / file).parent.mkdir(parents=True, exist_ok=True)
        (root / file).write_bytes(packed)


def message(load=data.mnist, split="test"):
    with pytest.raises(fetch.DataError) as caught:
        load(split)
    return str(caught.value)


def same_content(result, small, images_file):
    images, labels = result
    np.testing.assert_allclose(images[..., 0], small.images[images_file] / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(labels, small.labels[images_file.replace("images-idx3", "labels-idx1")])
    assert (images.dtype, images.shape[3:], labels.dtype) == (np.float32, (1,), np.int32)


LOADERS = [(data.mnist, "mnist"), (data.fashion_mnist, "fashion-mnist")]
SPLITS = [("train", "train"), ("test", "t10k")]
PLACES = ["repository", "given", "system", "cache/gan-course"]


@pytest.mark.parametrize(("load", "name"), LOADERS)
@pytest.mark.parametrize(("split", "prefix"), SPLITS)
@pytest.mark.parametrize("place", PLACES)
def test_each_place_is_looked_in(installed, small, server, tmp_path, monkeypatch, load, name, split, prefix, place):
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "given"))
    put(tmp_path / place, small.packed)
    same_content(load(split), small, f"{name}/{prefix}-images-idx3-ubyte.gz")
    assert not server.asked


def test_places_in_order(installed, small, server, tmp_path, monkeypatch):
    """With the copy damaged everywhere, the error names the first place; take that copy away and it names the next."""
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "given"))
    for place in PLACES:
        put(tmp_path / place, {LABELS: b"damaged"})
    for place in PLACES:
        text = message()
        assert text.startswith(f"{tmp_path / place / LABELS} is not an intact gzip file")
        (tmp_path / place / LABELS).unlink()
    assert not server.asked


def test_a_home_folder_in_the_setting(installed, small, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setenv("GAN_COURSE_DATA", "~/given")
    put(tmp_path / "given", small.packed)
    same_content(data.mnist("test"), small, DIGITS)


@pytest.mark.parametrize(
    ("platform", "folder"),
    [("linux", ".cache"), ("darwin", "Library/Caches"), ("win32", "AppData/Local"), ("freebsd14", ".cache")],
)
def test_cache_folder(monkeypatch, tmp_path, platform, folder):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("USERPROFILE", str(tmp_path))
    monkeypatch.setattr(fetch.sys, "platform", platform)
    for unset in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(unset, raising=False)
    assert fetch.cache_folder() == tmp_path / folder / "gan-course"
    monkeypatch.setenv("XDG_CACHE_HOME", "")  # empty counts as unset
    assert fetch.cache_folder() == tmp_path / folder / "gan-course"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "mine"))
    assert fetch.cache_folder() == tmp_path / "mine" / "gan-course"


# Every way a file can be wrong


def flipped(packed):
    """One bit changed inside the compressed data."""
    at = len(packed) // 2
    return packed[:at] + bytes([packed[at] ^ 16]) + packed[at + 1 :]


def changed(packed):
    """Well-formed, but one pixel differs."""
    content = bytearray(gzip.decompress(packed))
    content[-1] ^= 1
    return gzip.compress(bytes(content), mtime=0)  # the same bytes at every call


WRONG = {
    "empty": (lambda small: b"", "is truncated: it stops after 0 bytes"),
    "truncated in the header": (lambda small: small.packed[DIGITS][:7], "is truncated: it stops after 7 bytes"),
    "truncated": (lambda small: small.packed[DIGITS][:-500], r"is truncated: it stops after [\d,]+ bytes"),
    "truncated in the checksum": (lambda small: small.packed[DIGITS][:-3], "is truncated"),
    "corrupted": (lambda small: flipped(small.packed[DIGITS]), "is not an intact gzip file"),
    "one pixel": (lambda small: changed(small.packed[DIGITS]), "holds something else .*sha256 [0-9a-f]{64}, expected"),
    "a web page": (lambda small: b"\n <!DOCTYPE html><title>Log in</title>", "is a web page, not data"),
    "not packed": (lambda small: gzip.decompress(small.packed[DIGITS]), "is not an intact gzip file"),
    "labels": (lambda small: small.packed[LABELS], f"is swapped: it holds the content of {re.escape(LABELS)} "),
    "train": (
        lambda small: small.packed["mnist/train-images-idx3-ubyte.gz"],
        "is swapped: it holds the content of mnist/train-images-idx3-ubyte.gz ",
    ),
    "clothes": (lambda small: small.packed[CLOTHES], f"is swapped: it holds the content of {re.escape(CLOTHES)} "),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_file_here(installed, small, server, tmp_path, monkeypatch, place, wrong):
    """The error names the file, says what is wrong and what to do; nothing is downloaded over it or past it."""
    make, fragment = WRONG[wrong]
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "given"))
    put(tmp_path / place, small.packed | {DIGITS: make(small)})
    server.pages["/one/" + DIGITS] = small.packed[DIGITS]
    text = message()
    assert re.match(rf"{re.escape(str(tmp_path / place / DIGITS))} {fragment}", text)
    assert "`git checkout data`" in text
    assert "delete it and call again" in text
    assert not server.asked
    assert (tmp_path / place / DIGITS).read_bytes() == make(small)
    (tmp_path / place / DIGITS).unlink()  # what the message advises
    same_content(data.mnist("test"), small, DIGITS)


def test_an_unreadable_file_here(installed, small, server, tmp_path):
    (tmp_path / "repository" / LABELS).mkdir(parents=True)
    text = message()
    assert text.startswith(f"{tmp_path / 'repository' / LABELS} cannot be read (")
    assert not server.asked


# What was nearly right


@pytest.mark.parametrize("place", PLACES)
def test_unpacked_files_are_taken(installed, small, server, tmp_path, monkeypatch, place):
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "given"))
    put(tmp_path / place, {file.removesuffix(".gz"): gzip.decompress(packed) for file, packed in small.packed.items()})
    same_content(data.mnist("test"), small, DIGITS)
    bare = tmp_path / place / DIGITS.removesuffix(".gz")
    bare.write_bytes(bare.read_bytes()[:-1])
    assert message().startswith(f"{bare} holds something else (")
    assert not server.asked


OWN = {
    "mnist/t10k-images.idx3-ubyte": "what is looked for is .*mnist/train-images-idx3-ubyte.gz and so on, with or without",
    "mnist/digits.npy": "what is looked for is .*mnist/train-images-idx3-ubyte.gz and so on, with or without .gz",
    "t10k-images-idx3-ubyte.gz": "what is looked for is .*mnist/train-images-idx3-ubyte.gz and so on, with or without .gz",
    DIGITS: r"it holds something else \(.*To train on images of your own, give `fit` an array of them",
    DIGITS.removesuffix(
        ".gz"
    ): r"it holds something else \(.*To train on images of your own, give `fit` an array of them",
}


@pytest.mark.parametrize("file", OWN)
def test_own_files_that_are_not_used_are_named(installed, small, server, tmp_path, monkeypatch, file):
    """The repository's come first; and where nothing is found, the error has the same words."""
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "given"))
    put(tmp_path / "repository", small.packed)
    own = gzip.decompress(small.packed[DIGITS])[:-1]
    put(tmp_path / "given", {file: gzip.compress(own) if file.endswith(".gz") else own})
    words = f"{re.escape(str(tmp_path / 'given' / file))} is not used: {OWN[file]}"
    with pytest.warns(UserWarning, match=words) as warned:
        same_content(data.mnist("test"), small, DIGITS)
    assert [warning.filename for warning in warned] == [__file__]  # the reader's own line
    if file not in (DIGITS, DIGITS.removesuffix(".gz")):
        monkeypatch.setattr(fetch, "REPOSITORY", tmp_path / "nowhere")
        assert re.search(words, message())


def test_own_files_that_are_the_published_ones_are_not_spoken_of(installed, small, tmp_path, monkeypatch):
    monkeypatch.setenv("GAN_COURSE_DATA", str(tmp_path / "given"))
    put(tmp_path / "repository", small.packed)
    put(
        tmp_path / "given",
        small.packed | {"mnist/README.md": b"", "mnist/.hidden": b"", "digit-features.safetensors": b""},
    )
    same_content(data.mnist("test"), small, DIGITS)


# A user without a home


@pytest.fixture
def homeless(installed, monkeypatch, tmp_path):
    def no_home(path):
        raise RuntimeError("Could not determine home directory.")

    expanded = Path.expanduser
    monkeypatch.setattr(fetch.Path, "expanduser", lambda path: no_home(path) if str(path)[0] == "~" else expanded(path))
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(fetch.tempfile, "tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    fetch._temporary.cache_clear()
    yield tmp_path
    fetch._temporary.cache_clear()


def test_without_a_home_what_is_in_the_repository_is_found(homeless, small, monkeypatch):
    def no_search():
        raise AssertionError("a home was looked for")

    put(homeless / "repository", small.packed | {"net.safetensors": b""})
    monkeypatch.setattr(fetch, "cache_folder", no_search)
    same_content(data.mnist("test"), small, DIGITS)
    assert data.weights("net.safetensors", "") == homeless / "repository" / "net.safetensors"


def test_without_a_home_the_cache_is_a_folder_of_this_process(homeless, small, server, monkeypatch):
    server.pages = {f"/one/{file}": packed for file, packed in small.packed.items()}
    monkeypatch.setenv("GAN_COURSE_DATA", "~/given")
    same_content(data.mnist("test"), small, DIGITS)
    assert fetch.cache_folder() == fetch.cache_folder()
    (home,) = (homeless / "temporary").iterdir()
    assert home in fetch.cache_folder().parents
    assert (fetch.cache_folder() / DIGITS).is_file()
    if os.name == "posix":
        assert home.stat().st_mode & 0o077 == 0


def test_without_a_home_and_a_place_for_temporary_files(homeless, monkeypatch):
    def full(**_):
        raise FileNotFoundError("No usable temporary directory found")

    monkeypatch.setattr(fetch.tempfile, "mkdtemp", full)
    assert fetch.cache_folder() == Path("~/.cache/gan-course") or sys.platform != "linux"


# Downloads


@pytest.mark.parametrize(("load", "name"), LOADERS)
@pytest.mark.parametrize(("split", "prefix"), SPLITS)
def test_download_once_then_from_the_cache(installed, small, server, capsys, load, name, split, prefix):
    server.pages = {f"/one/{file}": packed for file, packed in small.packed.items()}
    wanted = f"{name}/{prefix}-images-idx3-ubyte.gz"
    same_content(load(split), small, wanted)
    bar = capsys.readouterr().err
    assert wanted in bar
    assert "100%" in bar
    assert installed() == [f"gan-course/{name}/{prefix}-{kind}-ubyte.gz" for kind in ("images-idx3", "labels-idx1")]
    asked = len(server.asked)
    assert asked == 2
    same_content(load(split), small, wanted)
    assert len(server.asked) == asked


@pytest.mark.parametrize("wrong", WRONG)
def test_a_wrong_download(installed, small, server, wrong):
    """A mirror that sends the wrong bytes is passed over; if all do, each is named and nothing is kept."""
    make, fragment = WRONG[wrong]
    put(fetch.cache_folder(), {LABELS: small.packed[LABELS]})
    server.pages = {"/one/" + DIGITS: make(small), "/two/" + DIGITS: make(small)}
    text = message()
    assert text.startswith(f"{DIGITS} cannot be downloaded:")
    for mirror in ("one", "two"):
        assert re.search(rf"{re.escape(f'{server.url}/{mirror}/{DIGITS}')}: {fragment}", text)
    assert str(fetch.cache_folder() / DIGITS) in text  # where it was looked for
    assert f"GAN_COURSE_DATA to a folder with {DIGITS}" in text
    assert installed() == ["gan-course/" + LABELS]

    server.pages["/two/" + DIGITS] = small.packed[DIGITS]
    same_content(data.mnist("test"), small, DIGITS)
    assert (fetch.cache_folder() / DIGITS).read_bytes() == small.packed[DIGITS]
    assert installed() == ["gan-course/" + DIGITS, "gan-course/" + LABELS]


def cut(handler):
    """Promises more than it sends: the connection breaks in the middle."""
    handler.answer(10_000, gzip.compress(os.urandom(10_000))[:1000])
    handler.close_connection = True


def silent(handler):
    handler.answer(10_000, b"\x1f\x8b\x08\x00")
    time.sleep(1.0)


def nonsense(handler):
    handler.wfile.write(b"this is not HTTP\r\n\r\n")


def unavailable(handler):
    handler.send_error(503)


@pytest.mark.parametrize(
    ("page", "fragment"),
    [
        (None, "HTTP Error 404"),
        (unavailable, "HTTP Error 503"),
        (cut, "truncated|IncompleteRead"),
        (silent, "timed out"),
        (nonsense, "this is not HTTP"),
    ],
)
def test_a_failing_server(installed, small, server, monkeypatch, page, fragment):
    monkeypatch.setattr(fetch, "TIMEOUT", 0.3)
    server.pages = {f"/{mirror}/{LABELS}": page for mirror in ("one", "two")}
    text = message()
    assert text.startswith(f"{LABELS} cannot be downloaded:")
    for mirror in ("one", "two"):
        assert re.search(rf"{re.escape(f'{server.url}/{mirror}/{LABELS}')}: .*({fragment})", text)
    assert "Check the network (proxy: set http_proxy, https_proxy)" in text
    assert not installed()


def test_error_pages_are_closed(installed, small, monkeypatch):
    """Python 3.13 and later warn of those that are not."""
    closed = []
    close = urllib.error.HTTPError.close
    monkeypatch.setattr(urllib.error.HTTPError, "close", lambda error: closed.append(error.code) or close(error))
    assert "HTTP Error 404" in message()
    assert closed == [404, 404]


@pytest.mark.parametrize("fault", ["refused", "name"])
def test_no_network(installed, small, monkeypatch, fault):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    if fault == "name":

        def no_name(*_, **__):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

        monkeypatch.setattr(socket, "getaddrinfo", no_name)
    monkeypatch.setitem(fetch.MIRRORS, "mnist", (f"http://127.0.0.1:{port}/",))
    text = message()
    assert text.startswith(f"{LABELS} cannot be downloaded:")
    assert ("refused" if fault == "refused" else "Name or service not known") in text
    assert "Check the network" in text
    assert not installed()


def test_a_server_without_end_is_cut_off(installed, small, server, monkeypatch):
    monkeypatch.setattr(fetch, "LIMIT", 2**18)
    hung_up = []

    def endless(handler):
        handler.send_response(200)
        handler.end_headers()
        try:
            for _ in range(2**9):  # 32 MB, if anybody listens
                handler.wfile.write(bytes(2**16))
        except OSError:
            hung_up.append(handler.path)

    server.pages = {f"/{mirror}/{LABELS}": endless for mirror in ("one", "two")}
    assert "cannot be downloaded" in message()
    assert not installed()
    deadline = time.monotonic() + 5
    while len(hung_up) < 2 and time.monotonic() < deadline:  # the server finds out a little later
        time.sleep(0.01)
    assert len(hung_up) == 2


def test_a_small_file_that_unpacks_without_end_is_cut_off(installed, small, server, monkeypatch):
    monkeypatch.setattr(fetch, "LIMIT", 2**18)
    bomb = gzip.compress(bytes(2**24))
    assert len(bomb) < fetch.LIMIT
    put(fetch.cache_folder(), {LABELS: bomb})
    seen = []
    sha256 = hashlib.sha256
    monkeypatch.setattr(fetch.hashlib, "sha256", lambda content: seen.append(len(content)) or sha256(content))
    assert str(fetch.cache_folder() / LABELS) in message()
    assert max(seen, default=0) <= fetch.LIMIT


@pytest.mark.skipif(os.name == "nt", reason="needs pthread_kill")
def test_an_interrupted_download_leaves_nothing(installed, small, server):
    def interrupt(handler):
        handler.answer(10_000, b"\x1f\x8b\x08\x00")
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
        time.sleep(0.2)

    server.pages["/one/" + LABELS] = interrupt
    with pytest.raises(KeyboardInterrupt):
        data.mnist("test")
    assert not list((fetch.cache_folder() / "mnist").iterdir())
    assert server.asked == ["/one/" + LABELS]


def test_an_unwritable_cache(installed, small, server, tmp_path):
    server.pages = {f"/one/{file}": packed for file, packed in small.packed.items()}
    (tmp_path / "cache").write_text("a file where the folder should be")
    text = message()
    assert text.startswith(f"{LABELS} was not there, and {fetch.cache_folder() / LABELS} cannot be written (")
    assert "set XDG_CACHE_HOME to another folder" in text
    assert f"GAN_COURSE_DATA to one with {LABELS}" in text
    assert not server.asked  # found out before the download


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write everywhere")
def test_a_read_only_cache(installed, small, server, tmp_path):
    (tmp_path / "cache").mkdir(mode=0o500)
    assert "cannot be written (Permission denied)" in message()
    assert not server.asked


def test_a_full_disk(installed, small, server, monkeypatch):
    def full(path, content):
        with path.open("wb") as stream:
            stream.write(content[:100])
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    server.pages = {f"/one/{file}": packed for file, packed in small.packed.items()}
    monkeypatch.setattr(Path, "write_bytes", full)
    assert f"cannot be written ({os.strerror(errno.ENOSPC)})" in message()
    assert not list((fetch.cache_folder() / "mnist").iterdir())


# Mixtures

SHAPES = {"ring": data.ring, "grid": data.grid, "spiral": data.spiral, "two_moons": data.two_moons}
N = 100_000


@pytest.fixture(params=SHAPES)
def mixture(request):
    return SHAPES[request.param]()


def draw(mixture, seed):
    return np.asarray(mixture.sample(jax.random.key(seed), N), float)


def nearest(points, mixture):
    """Index of the nearest mode, and the offset from it."""
    means = np.asarray(mixture.means, float)
    mode = ((points[:, None] - means) ** 2).sum(axis=-1).argmin(axis=1)
    return mode, points - means[mode]


def test_log_prob_is_the_density(mixture):
    """Against the sum of Gaussian densities, written out in float64."""
    rng = np.random.default_rng(1)
    means = np.asarray(mixture.means, float)
    x = (means[rng.integers(len(means), size=300)] + 2 * mixture.std * rng.normal(size=(300, 2))).astype(np.float32)
    square = ((x[:, None].astype(float) - means) ** 2).sum(axis=-1)
    density = np.mean(np.exp(-square / (2 * mixture.std**2)) / (2 * np.pi * mixture.std**2), axis=1)
    log_prob = jax.jit(mixture.log_prob)(x)
    assert log_prob.shape == (300,)
    np.testing.assert_allclose(log_prob, np.log(density), atol=2e-4)


def test_density_integrates_to_one(mixture):
    low, high = mixture.means.min() - 6 * mixture.std, mixture.means.max() + 6 * mixture.std
    axis = np.arange(low, high, mixture.std / 1.5)
    log_prob, total = jax.jit(mixture.log_prob), 0.0
    for row in axis:
        total += np.exp(np.asarray(log_prob(np.stack([axis, np.full_like(axis, row)], axis=-1)), float)).sum()
    assert total * (axis[1] - axis[0]) ** 2 == pytest.approx(1.0, abs=1e-4)


def test_log_prob_far_away_is_finite_with_its_gradient():
    """Where a sum of exponentials is exactly 0: log p is that of the nearest mode."""
    mixture = data.ring()
    x = jnp.array([[3.0, 0.0], [0.0, -100.0], [0.2, 0.1]])
    gap = np.array([2.0, 99.0, np.hypot(0.2 - math.sqrt(0.5), 0.1 - math.sqrt(0.5))])
    expected = -0.5 * (gap / 0.01) ** 2 - math.log(8 * 2 * math.pi * 0.01**2)
    log_prob, pull_back = jax.vjp(jax.jit(mixture.log_prob), x)
    np.testing.assert_allclose(log_prob, expected, rtol=1e-5)
    (slope,) = pull_back(jnp.ones(3))
    np.testing.assert_allclose(slope[:2], [[-2.0 / 0.01**2, 0.0], [0.0, 99.0 / 0.01**2]], rtol=1e-4, atol=0.5)


def test_sample_mean_and_covariance(mixture):
    x = draw(mixture, 2)
    assert x.shape == (N, 2)
    means = np.asarray(mixture.means, float)
    covariance = np.cov(means.T, bias=True) + mixture.std**2 * np.eye(2)
    error = np.sqrt(np.diag(covariance) / N)
    assert (abs(x.mean(axis=0) - means.mean(axis=0)) < 4.5 * error).all()
    np.testing.assert_allclose(np.cov(x.T), covariance, atol=0.02 * np.trace(covariance))


@pytest.mark.parametrize("name", ["ring", "grid"])
def test_samples_around_their_modes(name):
    """Modes equally likely; distances Rayleigh, so 98.89 % within 3σ; round; independent of the mode drawn."""
    mixture = SHAPES[name]()
    modes = len(mixture.means)
    mode, offset = nearest(draw(mixture, 3), mixture)
    count = np.bincount(mode, minlength=modes)
    chi_square = ((count - N / modes) ** 2 / (N / modes)).sum()
    assert 0.2 * (modes - 1) < chi_square < modes - 1 + 5 * math.sqrt(2 * (modes - 1))
    distance = np.hypot(*offset.T) / mixture.std
    for radius in (0.5, 1.0, 2.0, 3.0):
        inside = 1 - math.exp(-(radius**2) / 2)
        assert np.mean(distance <= radius) == pytest.approx(inside, abs=4.5 * math.sqrt(inside * (1 - inside) / N))
    assert 1 - math.exp(-4.5) == pytest.approx(0.9889, abs=5e-5)
    np.testing.assert_allclose(np.cov(offset.T) / mixture.std**2, np.eye(2), atol=0.02)
    for k in range(modes):
        assert (abs(offset[mode == k].mean(axis=0)) < 4.5 * mixture.std / math.sqrt(count[k])).all()


def test_same_key_same_samples(mixture):
    first = draw(mixture, 4)
    np.testing.assert_array_equal(first, draw(mixture, 4))
    assert (first != draw(mixture, 5)).mean() > 0.99


def test_mixture_with_and_without_transformations():
    mixture = data.grid()
    jitted = jax.jit(lambda key: mixture.sample(key, N))(jax.random.key(6))
    np.testing.assert_allclose(jitted, draw(mixture, 6), atol=1e-5)
    x = jitted[:12]
    log_prob = mixture.log_prob(x)
    np.testing.assert_allclose(jax.jit(jax.vmap(mixture.log_prob))(x.reshape(3, 4, 2)).ravel(), log_prob, rtol=1e-5)
    np.testing.assert_array_equal(mixture.log_prob(np.asarray(x).tolist()), log_prob)
    assert isinstance(mixture.std, float)


@pytest.mark.parametrize("modes", [1, 2, 7, 8, 25])
def test_ring_modes_are_distinct_and_equally_spaced(modes):
    means = np.asarray(data.ring(modes=modes, radius=3.0).means, float)
    assert means.shape == (modes, 2)
    np.testing.assert_allclose(np.hypot(*means.T), 3.0, rtol=1e-6)
    np.testing.assert_allclose(means[0], [3.0, 0.0], atol=1e-6)
    step = np.hypot(*(np.roll(means, -1, axis=0) - means).T)
    np.testing.assert_allclose(step, 2 * 3.0 * math.sin(math.pi / modes), atol=1e-5)
    assert len(np.unique(means.round(4), axis=0)) == modes


def test_defaults_are_the_protocol():
    ring, grid = data.ring(), data.grid()
    assert (ring.means.shape, ring.std) == ((8, 2), 0.01)
    np.testing.assert_allclose(np.hypot(*np.asarray(ring.means).T), 1.0, rtol=1e-6)
    assert (grid.means.shape, grid.std) == ((25, 2), 0.05)
    assert {tuple(mean) for mean in grid.means.tolist()} == {(x, y) for x in range(-4, 5, 2) for y in range(-4, 5, 2)}


def test_grid_even_side():
    means = {tuple(mean) for mean in data.grid(side=2, spacing=3.0).means.tolist()}
    assert means == {(-1.5, -1.5), (-1.5, 1.5), (1.5, -1.5), (1.5, 1.5)}


def test_spiral():
    """r = R·t at angle 2π·turns·t; modes equally spaced along it, from the origin to its end."""
    mixture = data.spiral(turns=1.5, radius=3.0, std=0.04)
    means = np.asarray(mixture.means, float)
    t = np.hypot(*means.T) / 3.0
    np.testing.assert_allclose(means, 3.0 * (t * [np.cos(3 * np.pi * t), np.sin(3 * np.pi * t)]).T, atol=1e-4)
    np.testing.assert_allclose(means[[0, -1]], [[0.0, 0.0], [-3.0, 0.0]], atol=1e-4)
    step = np.hypot(*np.diff(means, axis=0).T)
    np.testing.assert_allclose(step[20:], step[-1], rtol=1e-3)  # chords, a little shorter where it bends
    assert 0.9 * 0.04 < step[-1] <= 0.04 * (1 + 1e-5)


def test_two_moons():
    mixture = data.two_moons(radius=2.0)
    means = np.asarray(mixture.means, float)
    upper, lower = np.split(means, 2)
    np.testing.assert_allclose(means.mean(axis=0), 0.0, atol=1e-6)
    for moon, side in ((upper, 1), (lower, -1)):
        centred = moon - side * 2.0 * np.array([-0.5, -0.25])
        np.testing.assert_allclose(np.hypot(*centred.T), 2.0, rtol=1e-4)
        assert (side * centred[:, 1] > -1e-5).all()
        np.testing.assert_allclose(centred[[0, -1]], [[side * 2.0, 0.0], [-side * 2.0, 0.0]], atol=1e-5)
        step = np.hypot(*np.diff(moon, axis=0).T)
        np.testing.assert_allclose(step, step[0], rtol=1e-3)
        assert step.max() <= 0.05
    assert upper[:, 0].max() > lower[:, 0].min()  # they reach into each other
    assert upper[:, 1].min() < lower[:, 1].max()


def test_a_band_shows_no_modes():
    """Modes one standard deviation apart on a line: the density there is constant to 2·exp(−2π²) < 1e-8."""
    mode = np.arange(-50, 51)
    x = np.linspace(0, 1, 11)[:, None]
    density = np.exp(-0.5 * (x - mode) ** 2).sum(axis=1)
    assert np.ptp(density) / density.mean() < 1.1e-8
    moons = data.two_moons()
    middle = np.asarray(moons.means[25:35], float)
    between = np.concatenate([middle, (middle[1:] + middle[:-1]) / 2])
    assert np.ptp(np.asarray(jax.jit(moons.log_prob)(between))) < 1e-3


@pytest.mark.parametrize(
    ("shape", "name", "value"),
    [
        (shape, name, value)
        for shape, name, values in [
            (data.ring, "modes", (0, -3, 2.5, math.nan, math.inf)),
            (data.ring, "radius", (0, -1.0, math.nan, math.inf)),
            (data.ring, "std", (0.0, -0.1, math.nan)),
            (data.grid, "side", (0, -1, 4.5)),
            (data.grid, "spacing", (0, -2.0)),
            (data.grid, "std", (0.0, -0.1, math.inf)),
            (data.spiral, "turns", (0, -1.0)),
            (data.spiral, "radius", (0, -1.0)),
            (data.spiral, "std", (0.0, -0.1, math.nan)),
            (data.two_moons, "radius", (0, math.inf)),
            (data.two_moons, "std", (0.0, -0.1, math.nan)),
        ]
        for value in values
    ],
)
def test_bad_arguments(shape, name, value):
    kind = "whole" if name in ("modes", "side") else "finite"
    with pytest.raises(ValueError, match=rf"^{name} is {value!r}, expected a {kind} number above 0\.$"):
        shape(**{name: value})


@pytest.mark.parametrize("means", [[0.0, 1.0], [[0.0, 1.0, 2.0]], np.zeros((0, 2)), [[[0.0, 1.0]]], [[0.0, np.nan]]])
def test_bad_means(means):
    with pytest.raises(ValueError, match=rf"^means has shape {re.escape(str(np.shape(means)))}, expected \(K, 2\)"):
        data.Mixture(means, 0.1)
    with pytest.raises(ValueError, match=r"^std is 0, expected a finite number above 0\."):
        data.Mixture([[0.0, 1.0]], 0)


@pytest.mark.parametrize("shape", [(2,), (5, 3), (5,), (), (2, 5), (4, 5, 2)])
def test_bad_points(shape):
    with pytest.raises(ValueError, match=rf"^x has shape {re.escape(str(shape))}, expected \(n, 2\); .* x\[None\]"):
        data.ring().log_prob(np.zeros(shape))
