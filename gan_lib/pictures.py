"""A folder of one's own pictures, as arrays: the subfolders are labels, and what cannot be read is counted and named."""

import os
import re
import warnings
from collections import defaultdict
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import ExifTags, Image, ImageOps
from tqdm import tqdm

from gan_lib.arrays import check_whole
from gan_lib.fetch import DataError

# Nothing else of Pillow's is run, whatever a file calls itself: for an EPS, Pillow starts another program.
FORMATS = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP", ".gif": "GIF", ".bmp": "BMP"}
BOMB = 100_000_000  # pixels: a file of a few kilobytes can claim as many, and unpack to gigabytes
ROOM = 4 * 10**9  # bytes that the arrays may take
NAMED = 3  # files of each kind in the report


class Pictures(NamedTuple):
    """images: (N, size, size, channels). labels: int32 (N,). names: what label 0, 1, … is called, the subfolders' names."""

    images: np.ndarray
    labels: np.ndarray
    names: tuple[str, ...]


def images(
    folder: str | os.PathLike,
    *,
    size: int = 32,
    channels: int = 3,
    most: int | None = None,
    as_bytes: bool = False,
    report: bool = True,
) -> Pictures:
    """The pictures of a folder, cut to their central square and resized: PNG, JPEG, WebP, GIF and BMP.

    The name of the subfolder that a picture is in, at any depth below it, is its label; labels count from 0 in the order of
    the names, numbers by value. Without subfolders all have label 0. size: pixels a side, such as 28, 32 or 64, which the
    networks of nets.py draw. channels: 3 for colour, 1 for grey. most: at most so many, drawn at random, the same each time.

    images: float32 from −1 (black) to 1 (white). Handwriting as in MNIST, −1 for paper and 1 for ink, is −images.
    as_bytes: uint8 as stored, a quarter of the memory, for GAN(..., prepare=data.scaled).
    report: print how many there are, and by number and name what was left out (broken, too large to unpack) or changed:
    transparent parts become white, 16 bits become 8, animations their first frame, and photographs stand upright.

    Raises DataError where the folder is none or holds no picture that can be read; ValueError on other arguments, and
    on more pictures than fit into 4 GB.
    """
    check_whole(size, "size", 4, 1024, "pixels")
    if channels not in (1, 3):
        raise ValueError(f"channels is {channels!r}, expected 3 for colour or 1 for grey.")
    if most is not None:
        check_whole(most, "most", 1)
    root = Path(folder).expanduser()
    files, kinds, remarks = _find(root)
    if most is not None and len(files) > most:
        chosen = np.sort(np.random.default_rng(0).choice(len(files), most, replace=False))
        files, kinds = [files[i] for i in chosen], [kinds[i] for i in chosen]
    _check_room(len(files), size, channels, as_bytes)
    pixels, read = np.empty((len(files), size, size, channels), np.uint8), []
    for i, path in enumerate(tqdm(files, disable=len(files) < 2000 or not report)):
        try:
            pixels[len(read)], changes = _read(path, size, channels)
            read.append(i)
        except Exception as error:  # decoders of damaged files raise whatever they meet
            bomb = isinstance(error, Image.DecompressionBombError)
            changes = ["left out, as too large to unpack" if bomb else f"left out, as broken ({_first_words(error)})"]
        for change in changes:
            remarks[change].append(path.relative_to(root).as_posix())
    if not read:
        raise DataError(f"None of the {len(files):,} pictures in {root} can be read.\n" + _report(remarks))
    names = sorted({kinds[i] for i in read}, key=_in_order)
    labels = np.array([names.index(kinds[i]) for i in read], np.int32)
    if report:
        what = f"{len(names)} kinds" if len(names) > 1 else "one kind"
        print(f"{len(read):,} picture{'s' * (len(read) > 1)} of {what}, {size} × {size} × {channels}")
        print(_report(remarks), end="")
    pixels = pixels[: len(read)]
    return Pictures(pixels if as_bytes else pixels.astype(np.float32) / 127.5 - 1, labels, tuple(names))


def _find(root):
    """(picture files, the name of each one's label, {remark: files}) in a folder, in the order of their names."""
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "does not exist"
        raise DataError(f"{root} {what}. Give the folder that holds the pictures, or a subfolder for each label.")
    found, others, remarks, been = [], 0, defaultdict(list), set()
    for at, inner, names in os.walk(root, followlinks=True):
        if (place := os.path.realpath(at)) in been:  # a link that leads back
            inner[:] = []
            continue
        been.add(place)
        inner[:] = sorted((name for name in inner if not _hidden(name)), key=_in_order)
        for name in sorted(names, key=_in_order):
            path = Path(at, name)
            if Path(name).suffix.lower() in FORMATS and not _hidden(name) and path.is_file():
                found.append(path)
            elif not _hidden(name):
                others += 1
    parts = [path.relative_to(root).parts for path in found]
    if not found:
        raise DataError(
            f"There is no picture in {root}: {others} other files, and none that ends in {', '.join(FORMATS)}."
        )
    labelled = [path for path, part in zip(found, parts, strict=True) if len(part) > 1]
    if not labelled:
        return found, [root.resolve().name] * len(found), remarks
    if loose := [part[0] for part in parts if len(part) == 1]:
        remarks["left out, as beside the subfolders and without a label"] = loose
    return labelled, [path.relative_to(root).parts[0] for path in labelled], remarks


def _hidden(name):
    """What file managers and archives leave behind: .DS_Store, ._twins of files, and folders of them."""
    return name.startswith(".") or name == "__MACOSX"


def _in_order(name):
    """A key that sorts 2 before 10."""
    return [(0, int(part), "") if part.isdecimal() else (1, 0, part.lower()) for part in re.split(r"(\d+)", name)], name


def _check_room(n, size, channels, as_bytes):
    need = n * size * size * channels * (1 if as_bytes else 5)
    if need > ROOM:
        cure = f"most={int(n * ROOM / need):,}" + ("" if as_bytes else ", or as_bytes=True with prepare=data.scaled")
        raise ValueError(
            f"{n:,} pictures of {size} × {size} × {channels} take {need / 1e9:.1f} GB; at most {ROOM / 1e9:.0f} GB are "
            f"read at once. Ask for fewer or smaller ones: {cure}."
        )


def _read(path, size, channels):
    """(bytes (size, size, channels), what was changed)."""
    changes = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's words on odd metadata
        with Image.open(path, formats=sorted(set(FORMATS.values()))) as picture:
            width, height = picture.size
            if width * height > BOMB:
                raise Image.DecompressionBombError
            if getattr(picture, "is_animated", False) and picture.format in ("GIF", "PNG", "WEBP"):
                changes.append("animated: the first frame")
            turned = picture.getexif().get(ExifTags.Base.Orientation, 1) in range(2, 9)
            picture.draft(None, (2 * size, 2 * size))  # a JPEG is decoded at a fraction of its size
            upright = ImageOps.exif_transpose(picture)
    if turned:
        changes.append("turned upright, as its camera noted")
    if min(width, height) < size:
        changes.append(f"smaller than {size} pixels, enlarged")
    if upright.mode.startswith("I"):  # 16 bits; Pillow's own conversion would cut off all above 255
        bright = np.asarray(upright).astype(np.float64).clip(0, 65_535) / 257
        upright = Image.fromarray(bright.round().astype(np.uint8))
        changes.append("16 bits, made 8")
    elif upright.has_transparency_data:
        over = upright.convert("RGBA")
        upright = Image.alpha_composite(Image.new("RGBA", over.size, "white"), over)
        changes.append("transparent, put on white")
    elif upright.mode == "CMYK":
        changes.append("printer's colours (CMYK), made RGB")
    square = ImageOps.fit(upright.convert("L" if channels == 1 else "RGB"), (size, size), Image.Resampling.LANCZOS)
    return np.asarray(square).reshape(size, size, channels), changes


def _first_words(error):
    """The kind of damage, without names, addresses and numbers, so that equal ones are counted together."""
    words = re.sub(r"\s*['\"(<].*|[:,;]?\s+\d.*", "", str(error).partition("\n")[0]).strip()
    return words[:40] or type(error).__name__


def _report(remarks):
    lines = []
    for remark, files in remarks.items():
        shown = ", ".join(files[:NAMED]) + (", …" if len(files) > NAMED else "")
        lines.append(f"  {remark}: {len(files):,}\n    {shown}\n")
    return "".join(lines)
