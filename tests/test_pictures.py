"""data.images: a folder of pictures of every kind that people have, whole and broken, becomes arrays, or is refused in words."""

import struct
import time
import warnings
import zlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from PIL import Image, ImageDraw

from gan_lib import data, nets, pictures
from gan_lib.fetch import DataError
from gan_lib.gan import GAN
from gan_lib.training import fit

RNG = np.random.default_rng(0)


def picture(width=40, height=30, mode="RGB", colour=(200, 100, 50)):
    return Image.new("RGB", (width, height), colour).convert(mode)


def save(path, image=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (image or picture()).save(path, **options)
    return path


def read(folder, **options):
    return data.images(folder, **dict(size=28, channels=3) | options)


def test_subfolders_are_labels_in_the_order_of_their_names(tmp_path):
    for name, level in {"10": 250, "2": 130, "1": 10}.items():
        save(tmp_path / name / "deep" / "a.png", picture(colour=(level,) * 3))
        save(tmp_path / name / "b.JPG", picture(colour=(level,) * 3), format="JPEG")
    images, labels, names = read(tmp_path, channels=1)
    assert names == ("1", "2", "10")
    assert (images.shape, images.dtype, labels.dtype) == ((6, 28, 28, 1), np.float32, np.int32)
    np.testing.assert_allclose(images.mean((1, 2, 3)), (np.array([10, 130, 250]) / 127.5 - 1)[labels], atol=0.02)
    assert sorted(labels.tolist()) == [0, 0, 1, 1, 2, 2]


def test_without_subfolders_there_is_one_label(tmp_path):
    for i in range(3):
        save(tmp_path / "cats" / f"{i}.webp")
    images, labels, names = read(tmp_path / "cats")
    assert len(images) == 3
    assert (labels.tolist(), names) == ([0, 0, 0], ("cats",))


def test_pictures_beside_the_subfolders_have_no_label_and_are_named(tmp_path, capsys):
    save(tmp_path / "a" / "1.png")
    save(tmp_path / "cover.png")
    assert read(tmp_path).names == ("a",)
    assert "left out, as beside the subfolders and without a label: 1\n    cover.png" in capsys.readouterr().out


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [28, 32, 64])
def test_black_is_minus_one_and_white_is_one_at_every_size(tmp_path, size, channels):
    save(tmp_path / "black.png", picture(colour=(0, 0, 0)))
    save(tmp_path / "white.png", picture(colour=(255, 255, 255)))
    images = read(tmp_path, size=size, channels=channels).images
    assert images.shape == (2, size, size, channels)
    assert (images[0] == -1).all()
    assert (images[1] == 1).all()


def test_bytes_are_as_stored_and_scale_to_the_floats(tmp_path):
    for i in range(4):
        save(tmp_path / f"{i}.png", Image.fromarray(RNG.integers(0, 256, (28, 28, 3), np.uint8)))
    stored = read(tmp_path, as_bytes=True).images
    assert stored.dtype == np.uint8
    np.testing.assert_allclose(data.scaled(stored), read(tmp_path).images, atol=1e-6)
    np.testing.assert_array_equal(stored[0], np.asarray(Image.open(tmp_path / "0.png")))


@pytest.mark.parametrize(("width", "height"), [(60, 20), (20, 60)])
def test_the_central_square_is_kept(tmp_path, width, height):
    image = picture(width, height, colour=(255, 0, 0))
    middle = (20, 0, 39, 19) if width > height else (0, 20, 19, 39)
    ImageDraw.Draw(image).rectangle(middle, fill=(0, 255, 0))
    save(tmp_path / "a.png", image)
    inside = read(tmp_path, size=8).images[0, 1:-1, 1:-1]
    np.testing.assert_allclose(inside, np.broadcast_to([-1, 1, -1], (6, 6, 3)), atol=0.02)


def sixteen_bits(level):
    """A grey PNG of 16 bits a pixel."""
    return Image.fromarray(np.full((30, 40), level, np.uint16))


def see_through(mode):
    """Red on the left, and nothing on the right."""
    image = Image.new("RGBA", (40, 40), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 20, 40))
    return image.convert("LA") if mode == "LA" else image.convert("P") if mode == "P" else image


def test_modes_of_all_kinds_become_one(tmp_path, capsys):
    grey = (128, 128, 128)
    for mode in ("1", "L", "P", "RGB"):
        save(tmp_path / f"{mode}.png", picture(mode=mode, colour=(255, 255, 255)))
    save(tmp_path / "cmyk.jpg", picture(mode="CMYK", colour=grey), quality=100)
    save(tmp_path / "ycc.jpg", picture(colour=grey), quality=100)
    save(tmp_path / "bits.png", sixteen_bits(0x8080))
    images = read(tmp_path, size=8).images
    at = sorted(path.name for path in tmp_path.iterdir())
    found = dict(zip(sorted(at, key=pictures._in_order), images.mean((1, 2, 3)), strict=True))
    for mode in ("1", "L", "P", "RGB"):
        assert found[f"{mode}.png"] == pytest.approx(1, abs=0.01)
    for name in ("cmyk.jpg", "ycc.jpg", "bits.png"):
        assert found[name] == pytest.approx(128 / 127.5 - 1, abs=0.03), name
    out = capsys.readouterr().out
    assert "7 pictures of one kind, 8 × 8 × 3" in out
    assert "16 bits, made 8: 1\n    bits.png" in out
    assert "printer's colours (CMYK), made RGB: 1\n    cmyk.jpg" in out


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_becomes_white(tmp_path, mode, capsys):
    image = see_through(mode)
    save(tmp_path / "a.png", image, **(dict(transparency=image.getpixel((30, 0))) if mode == "P" else {}))
    right = read(tmp_path, size=8).images[0, :, 5:]
    np.testing.assert_allclose(right, 1, atol=0.02)
    assert "transparent, put on white: 1\n    a.png" in capsys.readouterr().out


def test_photographs_stand_upright(tmp_path, capsys):
    image = picture(40, 40, colour=(0, 0, 0))
    image.paste((255, 255, 255), (0, 0, 40, 10))  # a bright sky
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    save(tmp_path / "a.jpg", image, exif=exif, quality=100)
    seen = read(tmp_path, size=8, channels=1).images[0, ..., 0]
    assert seen[:, -1].mean() > 0.8
    assert seen[:, 0].mean() < -0.8
    assert "turned upright, as its camera noted: 1\n    a.jpg" in capsys.readouterr().out


def test_of_an_animation_the_first_frame_is_taken(tmp_path, capsys):
    first, second = picture(colour=(255, 255, 255)), picture(colour=(0, 0, 0))
    for ending in ("gif", "png", "webp"):
        save(tmp_path / f"a.{ending}", first, save_all=True, append_images=[second], duration=50)
    assert read(tmp_path, size=8).images.min() > 0.95
    assert "animated: the first frame: 3\n    a.gif, a.png, a.webp" in capsys.readouterr().out


def test_small_ones_are_enlarged_and_named(tmp_path, capsys):
    save(tmp_path / "a.png", picture(1, 1, colour=(255, 255, 255)))
    save(tmp_path / "b.png", picture(3, 500, colour=(255, 255, 255)))
    assert (read(tmp_path).images == 1).all()
    assert "smaller than 28 pixels, enlarged: 2\n    a.png, b.png" in capsys.readouterr().out


def png(width, height, rows=b""):
    """A PNG that claims a size, whatever it holds."""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content)
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", crc)

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = chunk(b"IHDR", head), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def broken(tmp_path):
    """A good picture, and seven files that are none."""
    whole = save(tmp_path / "good.png").read_bytes()
    photo = save(tmp_path / "good.jpg").read_bytes()
    files = {
        "empty.png": b"",
        "half.png": whole[: len(whole) // 2],
        "half.jpg": photo[: len(photo) - 200],
        "words.jpg": b"This is not a picture.",
        "head.png": whole[:8] + b"\0" * 60,
        "page.webp": b"<html>not found</html>",
        "script.png": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
    }
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return sorted(files)


def test_broken_files_are_left_out_counted_and_named(tmp_path, capsys):
    names = broken(tmp_path)
    assert len(read(tmp_path).images) == 2
    out = capsys.readouterr().out
    assert out.startswith("2 pictures")
    assert sum(int(line.split()[-1]) for line in out.splitlines() if "left out, as broken" in line) == len(names)
    named = [name for name in names if name in out]
    assert len(named) >= 5  # of each kind of damage the first three


def test_no_other_decoder_runs_whatever_the_file_calls_itself(tmp_path, monkeypatch):
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *args: pytest.fail("Ghostscript was started"))
    broken(tmp_path)
    Image.new("RGB", (9, 9)).save(tmp_path / "real.eps", format="EPS")
    (tmp_path / "real.eps").rename(tmp_path / "real.png")
    assert len(read(tmp_path, report=False).images) == 2


@pytest.mark.parametrize(("width", "height"), [(50_000, 50_000), (12_000, 9_000)])
def test_a_decompression_bomb_is_refused_before_it_unpacks(tmp_path, width, height, capsys):
    save(tmp_path / "good.png")
    (tmp_path / "bomb.png").write_bytes(png(width, height, b"\0" * 10_000_000))
    begun = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(read(tmp_path).images) == 1
    assert time.process_time() - begun < 2
    assert "left out, as too large to unpack: 1\n    bomb.png" in capsys.readouterr().out


def test_what_systems_leave_behind_is_not_spoken_of(tmp_path, capsys):
    save(tmp_path / "a" / "good.png")
    for name in (".DS_Store", "._good.png", "notes.txt"):
        (tmp_path / "a" / name).write_bytes(b"x")
    for folder in (".hidden", "__MACOSX"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.png").write_bytes(b"x")
    assert read(tmp_path).names == ("a",)
    assert capsys.readouterr().out == "1 picture of one kind, 28 × 28 × 3\n"


def test_links_that_lead_back_end(tmp_path):
    save(tmp_path / "a" / "good.png")
    (tmp_path / "a" / "again").symlink_to(tmp_path)
    save(tmp_path.parent / f"{tmp_path.name}-elsewhere" / "b.png")
    (tmp_path / "b").symlink_to(tmp_path.parent / f"{tmp_path.name}-elsewhere")
    images, _, names = read(tmp_path)
    assert (len(images), names) == (2, ("a", "b"))  # each once


def test_folders_without_a_picture_are_explained(tmp_path):
    with pytest.raises(DataError, match=r"There is no picture in .*: 0 other files, and none that ends in \.png"):
        read(tmp_path)
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(DataError, match="1 other files"):
        read(tmp_path)
    with pytest.raises(DataError, match="is a file, not a folder"):
        read(tmp_path / "a.txt")
    with pytest.raises(DataError, match="does not exist"):
        read(tmp_path / "nothing")
    (tmp_path / "b.png").write_text("x")
    with pytest.raises(DataError, match=r"None of the 1 pictures in .* can be read.\n  left out, as broken .*: 1"):
        read(tmp_path)


def test_labels_of_broken_kinds_leave_no_gap(tmp_path):
    for name in ("a", "c"):
        save(tmp_path / name / "good.png")
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "bad.png").write_bytes(b"x")
    _, labels, names = read(tmp_path)
    assert (labels.tolist(), names) == ([0, 1], ("a", "c"))


def test_of_many_some_are_drawn_the_same_each_time(tmp_path):
    for i in range(30):
        save(tmp_path / "ab"[i % 2] / f"{i}.png", picture(colour=(8 * i,) * 3))
    one, two = read(tmp_path, most=10), read(tmp_path, most=10)
    assert one.images.shape[0] == 10
    assert one.names == ("a", "b")
    np.testing.assert_array_equal(one.images, two.images)


def test_more_than_fit_into_memory_are_refused_with_a_number_that_does(tmp_path, monkeypatch):
    for i in range(20):
        save(tmp_path / f"{i}.png")
    monkeypatch.setattr(pictures, "ROOM", 10 * 28 * 28 * 3 * 5)
    with pytest.raises(ValueError, match=r"20 pictures of 28 × 28 × 3 take .* most=10, or as_bytes=True"):
        read(tmp_path)
    assert len(read(tmp_path, most=10).images) == 10
    assert len(read(tmp_path, as_bytes=True).images) == 20


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size is 0"),
        ({"size": 28.5}, "size is 28.5"),
        ({"channels": 2}, "channels is 2, expected 3 for colour or 1"),
        ({"most": 0}, "most is 0"),
    ],
)
def test_bad_arguments(tmp_path, options, message):
    save(tmp_path / "a.png")
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **options)


def test_a_big_photograph_is_read_at_a_fraction_of_its_size(tmp_path):
    noise = Image.fromarray(RNG.integers(0, 256, (75, 100, 3), np.uint8)).resize((4000, 3000))
    save(tmp_path / "a.jpg", noise)
    plain = np.asarray(noise.crop((500, 0, 3500, 3000)).resize((32, 32), Image.Resampling.LANCZOS)) / 127.5 - 1
    assert abs(read(tmp_path, size=32).images[0] - plain).mean() < 0.05


# --- from a folder to samples -------------------------------------------------------------------------------------------


def folder_of_shapes(folder, n=200):
    """Red discs and blue squares, of sizes and places of their own, in every format and with a camera's turn."""
    for i in range(n):
        wide, high = RNG.integers(40, 90, 2)
        image = Image.new("RGB", (int(wide), int(high)), "white")
        middle, half = np.array([wide, high]) / 2 + RNG.uniform(-4, 4, 2), RNG.uniform(9, 14)
        draw, box = ImageDraw.Draw(image), [*(middle - half), *(middle + half)]
        draw.ellipse(box, "red") if i % 2 else draw.rectangle(box, "blue")
        save(folder / ("discs" if i % 2 else "squares") / f"{i}.{('png', 'jpg', 'webp')[i % 3]}", image)


@pytest.mark.slow
def test_a_folder_of_200_pictures_trains_end_to_end(tmp_path, compiled_as_for_a_reader):
    """A conditional GAN of the small pair at 32 × 32 × 3, 300 steps: it draws red for discs and blue for squares."""
    folder_of_shapes(tmp_path)
    images, labels, names = data.images(tmp_path, size=32, channels=3, report=False)
    assert (len(images), names) == (200, ("discs", "squares"))
    shape = dict(classes=2, size=32, channels=3)
    gan = GAN(
        lambda rngs: nets.small_conditional_generator(rngs, **shape),
        lambda rngs: nets.small_channels_discriminator(rngs, **shape),
        latent_dim=16,
        classes=2,
        optimizer=optax.adam(1e-3, b1=0.0, b2=0.99),
        averaging=0.99,
    )
    start = gan.init(jax.random.key(0))
    options = dict(steps=300, batch_size=16, key=jax.random.key(1), progress=False)
    state, _ = fit(gan, start, (images, labels), **options)
    middle = lambda x: np.asarray(x)[:, 14:18, 14:18].mean((1, 2))  # (n, 3)
    for label, (high, low) in enumerate([(0, 2), (2, 0)]):
        before = middle(gan.sample(start, jax.random.key(2), 40, labels=label))
        colour = middle(gan.sample(state, jax.random.key(2), 40, labels=label))
        assert (colour[:, high] - colour[:, low]).mean() > 1.2, names[label]
        assert abs(before[:, high] - before[:, low]).mean() < 0.3
    fakes = np.asarray(gan.sample(state, jax.random.key(3), 200, labels=jnp.arange(200) % 2))
    assert fakes[:, 0, 0].mean() > 0.7  # white paper in the corner
    shares = fakes.std(0).mean() / images.std(0).mean()
    assert 0.5 < shares < 1.5  # and not one picture again and again
