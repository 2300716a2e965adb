"""The course's files: where they are looked for, and what is done where one is missing, damaged or out of reach.

A set of images is four files, `train-images-idx3-ubyte.gz` and so on, with or without `.gz`. Each is taken from the first
of these folders that has it (<name> is `mnist` or `fashion-mnist`), and must then have the right sha256, or you get a
`DataError`. Files of yours in the second that are not used are named in a warning.

1. `data/<name>/` of the repository, where MNIST is, or `files/<name>/` of an installed `gan_lib`,
2. `<GAN_COURSE_DATA>/<name>/`, if that environment variable is set,
3. `/usr/share/datasets/<name>/`, where Debian's package dataset-fashion-mnist puts it,
4. `gan-course/<name>/` in your cache folder; if it is not there either, it is downloaded to this place.
"""

import contextlib
import functools
import hashlib
import http.client
import os
import sys
import tempfile
import urllib.error
import urllib.request
import zlib
from pathlib import Path

from tqdm import tqdm

REPOSITORY = Path(__file__).resolve().parents[1] / "data"
INSTALLED = Path(__file__).resolve().parent / "files"
SYSTEM = Path("/usr/share/datasets")
MIRRORS = {
    "mnist": ("https://ossci-datasets.s3.amazonaws.com/mnist/", "https://storage.googleapis.com/cvdf-datasets/mnist/"),
    "fashion-mnist": ("http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",),  # not https: mind the checksum
}
SHA256 = {  # of the decompressed content: the same file can be compressed in many ways
    "mnist/train-images-idx3-ubyte.gz": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "mnist/train-labels-idx1-ubyte.gz": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "mnist/t10k-images-idx3-ubyte.gz": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "mnist/t10k-labels-idx1-ubyte.gz": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    "fashion-mnist/train-images-idx3-ubyte.gz": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    "fashion-mnist/train-labels-idx1-ubyte.gz": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    "fashion-mnist/t10k-images-idx3-ubyte.gz": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    "fashion-mnist/t10k-labels-idx1-ubyte.gz": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
}
LIMIT = 2**26  # bytes, more than any of these files holds: a server that sends without end is cut off here
TIMEOUT = 20.0  # seconds of silence after which a server is given up


class DataError(RuntimeError):
    """A data file is missing, damaged or out of reach; the message names it and says what to do."""


def content(file):
    """The verified content of <name>/<file>. A damaged copy is an error: going on to the next would hide the damage."""
    for path in (path for place in places(file) for path in (place, place.with_suffix(""))):
        try:
            return _unpack(path.read_bytes(), file, packed=path.suffix)
        except (FileNotFoundError, NotADirectoryError):
            continue
        except (OSError, DataError) as fault:
            what = fault if isinstance(fault, DataError) else f"cannot be read ({fault.strerror})"
            cure = "Restore it (in a git checkout: `git checkout data`), or delete it and call again to download it."
            raise DataError(f"{path} {what}. {cure}") from None
    return _download(file)


def cache_folder():
    """Where the course keeps what it can make or fetch again: `gan-course` in the user's cache folder."""
    usual = {"win32": "~/AppData/Local", "darwin": "~/Library/Caches"}.get(sys.platform, "~/.cache")
    return _path(os.environ.get("XDG_CACHE_HOME") or usual) / "gan-course"


def _path(words):
    """A path with ~ for the home folder. Some users have none, as in containers: theirs is a new folder, and temporary."""
    with contextlib.suppress(RuntimeError):
        return Path(words).expanduser()
    with contextlib.suppress(OSError):
        return Path(_temporary(), *Path(words).parts[1:])
    return Path(words)  # nothing can be written anywhere, which those who try will say


_temporary = functools.cache(lambda: tempfile.mkdtemp(prefix="gan-course-"))  # nobody else's: programs are cached in it


def places(file):
    """The paths a file may have, in the order in which they are tried."""
    yield REPOSITORY / file
    yield INSTALLED / file
    if given := os.environ.get("GAN_COURSE_DATA"):
        yield _path(given) / file
    yield SYSTEM / file
    yield cache_folder() / file


def unused(name):
    """A sentence for each file (of the first few) in GAN_COURSE_DATA that looks like images of this set and is not used."""
    given = _path(os.environ.get("GAN_COURSE_DATA") or REPOSITORY)
    found = sorted({*given.glob("*ubyte*"), *given.glob(f"{name}/[!.]*")} if given != REPOSITORY else ())
    for path in [path for path in found if path.suffix not in (".md", ".txt")][:9]:
        file, wanted = f"{name}/{path.stem}.gz", given / name / "train-images-idx3-ubyte.gz"
        if path.parent == given or file not in SHA256:
            yield f"{path} is not used: what is looked for is {wanted} and so on, with or without .gz."
        else:
            try:
                _unpack(path.read_bytes(), file, packed=path.suffix)
            except (OSError, DataError) as fault:
                yield f"{path} is not used: it {fault}. To train on images of your own, give `fit` an array of them."


def _unpack(content, file, packed=True):
    """The published content of a file, a .gz if packed, or a DataError with what is wrong, worded to follow its name."""
    if content[:512].lstrip().startswith(b"<"):
        raise DataError("is a web page, not data")
    if packed:
        size, unpacker = len(content), zlib.decompressobj(wbits=31)  # 31: the gzip format
        try:
            content = unpacker.decompress(content, LIMIT)
        except zlib.error as error:
            raise DataError(f"is not an intact gzip file ({error})") from None
        if not unpacker.eof:
            raise DataError(f"is truncated: it stops after {size:,} bytes")
    digest = hashlib.sha256(content).hexdigest()
    if digest != SHA256[file]:
        owner = next((other for other, its_digest in SHA256.items() if its_digest == digest), None)
        what = f"is swapped: it holds the content of {owner}" if owner else "holds something else"
        raise DataError(f"{what} (decompressed sha256 {digest}, expected {SHA256[file]})")
    return content


def _download(file):
    """Downloads a file into the cache and returns its content. It lands there verified or not at all."""
    target = cache_folder() / file
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:  # made first: is there a place to put it?
            packed, content = _fetch(file)
            part = Path(folder) / target.name
            part.write_bytes(packed)
            part.replace(target)
    except OSError as error:
        cure = f"Make that possible, or set XDG_CACHE_HOME to another folder, or GAN_COURSE_DATA to one with {file}."
        raise DataError(f"{file} was not there, and {target} cannot be written ({error.strerror}). {cure}") from None
    return content


def _fetch(file):
    """(packed, decompressed) bytes from the first mirror that sends the right ones, with a progress bar."""
    name, file_name = file.split("/")
    tried = []
    for url in (mirror + file_name for mirror in MIRRORS[name]):
        try:
            with (
                urllib.request.urlopen(url, timeout=TIMEOUT) as response,
                tqdm.wrapattr(response, "read", total=response.length, desc=file) as stream,
            ):
                packed = bytearray()
                while len(packed) < LIMIT and (chunk := stream.read(2**16)):
                    packed += chunk
            return packed, _unpack(packed, file)
        except (DataError, OSError, http.client.HTTPException) as fault:
            tried.append(f"{url}: {fault}")
            if isinstance(fault, urllib.error.HTTPError):
                fault.close()  # it is also the open page that explains the error
    lines = [f"{file} cannot be downloaded:", *tried, "and is in none of these places:", *map(str, places(file))]
    cure = f"Check the network (proxy: set http_proxy, https_proxy), or set GAN_COURSE_DATA to a folder with {file}."
    raise DataError("\n".join(["\n  ".join(lines), *unused(name), cure]))
