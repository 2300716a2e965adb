"""Do the pictures show what they claim? Read back from the figures' own data."""

import io

import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.colors import to_rgb
from PIL import Image

from gan_lib import plots
from gan_lib.losses import minimax, non_saturating

HISTORY = {
    "step": np.arange(1, 201),
    "d_loss": np.full(200, 1.2),
    "g_loss": np.linspace(0, 1, 200),
    "d_real": np.full(200, 0.7),
    "d_fake": np.full(200, 0.3),
}


def contrast(a, b):
    """WCAG contrast of two colours."""
    light = lambda c: np.dot(
        [0.2126, 0.7152, 0.0722], [v / 12.92 if v < 0.04 else ((v + 0.055) / 1.055) ** 2.4 for v in c]
    )
    high, low = sorted([light(to_rgb(a)), light(to_rgb(b))], reverse=True)
    return (high + 0.05) / (low + 0.05)


def test_a_sheet_holds_the_images_in_reading_order():
    images = np.linspace(-1, 1, 7)[:, None, None, None] * np.ones((1, 4, 6, 1))
    sheet = plots.samples(images, columns=3).axes[0].images[0].get_array()
    assert sheet.shape == (3 * 6, 3 * 8)
    for i in range(7):
        row, column = divmod(i, 3)
        np.testing.assert_allclose(
            sheet[6 * row + 1 : 6 * row + 5, 8 * column + 1 : 8 * column + 7], images[i, 0, 0, 0]
        )
    assert (sheet[12:, 8:] == -1).all()  # the rest of the last row is paper


def test_labels_stand_beside_the_middle_of_their_rows():
    ax = plots.samples(np.zeros((4, 10, 10)), columns=2, labels=["first", "second"]).axes[0]
    assert [(text.get_text(), y) for text, y in zip(ax.get_yticklabels(), ax.get_yticks(), strict=True)] == [
        ("first", 6.0),
        ("second", 18.0),
    ]


def test_a_sheet_in_colour_holds_them_bright_and_ends_in_white():
    images = np.linspace(-1, 1, 4 * 4 * 6 * 3).reshape(4, 4, 6, 3)
    sheet = plots.samples(images, columns=3).axes[0].images[0].get_array()
    assert sheet.shape == (2 * 6, 3 * 8, 3)
    for i in range(4):
        row, column = divmod(i, 3)
        part = sheet[6 * row + 1 : 6 * row + 5, 8 * column + 1 : 8 * column + 7]
        np.testing.assert_allclose(part, (images[i] + 1) / 2, atol=1e-6)
    assert (sheet[6:, 8:] == 1).all()
    np.testing.assert_allclose(drawn(plots.samples(images[0]))[1:-1, 1:-1], (images[0] + 1) / 2, atol=1e-6)


BYTES = np.arange(0, 256, 5, dtype=np.uint8)[:48].reshape(3, 4, 4)
drawn = lambda sheet: sheet.axes[0].images[0].get_array()


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        (BYTES, BYTES / 127.5 - 1),
        (BYTES[..., None].astype(">f8") / 255, BYTES / 255),
        (np.float16(BYTES / 127.5 - 1), BYTES / 127.5 - 1),
        (jnp.asarray(BYTES / 127.5 - 1, jnp.bfloat16), BYTES / 127.5 - 1),
        (BYTES > 99, np.where(BYTES > 99, 1, -1)),
        (0 * BYTES, np.full(BYTES.shape, -1)),
        (np.sign(np.int64(BYTES) - 99), np.sign(BYTES - 99.0)),
        (list(BYTES), BYTES / 127.5 - 1),
    ],
    ids=["bytes", "floats", "halves", "bfloat16", "booleans", "paper", "whole numbers", "a list"],
)
def test_a_sheet_shows_every_type_as_it_is_meant(images, expected):
    sheet = drawn(plots.samples(images, columns=3)).reshape(6, 3, 6)[1:5, :, 1:5].swapaxes(0, 1)
    np.testing.assert_allclose(sheet, expected, atol=0.01)
    table = plots.verdict_table([["a"]], [[0]], np.asarray(images)[None], rows=["x"], columns=["y"])
    np.testing.assert_allclose(drawn(table).reshape(6, 3, 6)[1:5, :, 1:5].swapaxes(0, 1), expected, atol=0.01)


def test_one_image_is_one_image_not_a_strip_for_each_row():
    image = np.linspace(-1, 1, 28 * 20).reshape(28, 20, 1)
    np.testing.assert_allclose(drawn(plots.samples(image))[1:-1, 1:-1], image[..., 0], atol=1e-6)


@pytest.mark.parametrize(
    ("images", "words"),
    [
        (np.full((4, 8, 8), np.nan), "not finite"),
        (np.where(np.arange(64).reshape(1, 8, 8) == 9, np.inf, 0.0), "not finite"),
        (np.full((4, 8, 8), 1e300), "not finite"),
        (BYTES.astype(float), r"run from 0 to 235, expected -1 \(paper\) to 1 \(ink\): scale bytes with x / 127.5 - 1"),
        (BYTES.astype(int), "scale bytes"),
        (np.uint8(BYTES > 99), r"run from 0 to 1, .*scale \[0, 1\] with 2.0 \* x - 1"),
        (3.0 * np.sign(BYTES - 99.0), r"run from -3 to 3, .*tanh, or np.clip"),
        ((BYTES, np.zeros(3)), "images is a tuple of 2 parts"),
        (None, "images is a NoneType"),
        (np.ma.array(BYTES, mask=BYTES > 9), "masked entries"),
    ],
)
def test_a_sheet_shows_nothing_that_is_not_there(images, words):
    with pytest.raises(ValueError, match=words):
        plots.samples(images)
    with pytest.raises(ValueError, match=words):
        plots.verdict_table([["a"]], [[0]], images, rows=["x"], columns=["y"])


def test_a_sheet_has_a_column_at_least():
    for columns in (0, -1, 2.5):
        with pytest.raises(ValueError, match=f"columns is {columns}, expected a whole number of at least 1"):
            plots.samples(BYTES, columns=columns)


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((4, 4)),
        np.zeros((0, 4, 4)),
        np.zeros((2, 4, 4, 2)),
        np.zeros((2, 0, 0)),
        0.5,
        [],
        np.zeros((2, 3, 4, 4, 1)),
    ],
)
def test_a_sheet_of_something_else_is_refused(images):
    with pytest.raises(ValueError, match=r"shape \(N, H, W\)"):
        plots.samples(images)


def test_a_verdict_table_has_numbers_colours_and_samples_in_their_places():
    alarm = np.array([[-1, 0, 1], [0.5, 0, 0]])
    images = np.linspace(-1, 1, 4).reshape(2, 2, 1, 1, 1) * np.ones((2, 2, 4, 4, 1))
    texts = [["a", "b", "c"], ["d", "e", "f"]]
    figure = plots.verdict_table(
        texts,
        alarm,
        images,
        rows=["good", "bad"],
        columns=["x", "y", "z"],
        groups={"A": 0, "B": 1},
        scale={-1: "low", 1: "high"},
    )
    strip, heat, above, below, bar = figure.axes
    assert [ax.texts[0].get_text() for ax in (above, below)] == ["A", "B"]
    for i, ax in enumerate((above, below)):  # beside its row, and no other
        assert 0.7 < ax.get_window_extent().height / heat.get_window_extent().height * 2 < 1
        middle = strip.transData.transform((0, 6 * i + 2.5))[1]
        assert abs(ax.get_window_extent().y0 + ax.get_window_extent().y1 - 2 * middle) < 2
    np.testing.assert_array_equal(heat.images[0].get_array(), alarm)
    assert heat.images[0].get_clim() == (-1, 1)
    assert {text.get_position(): text.get_text() for text in heat.texts} == {
        (j, i): texts[i][j] for i in range(2) for j in range(3)
    }
    assert contrast(heat.texts[2].get_color(), plots.ALARM(1.0)) > 4.5
    assert contrast(heat.texts[0].get_color(), plots.ALARM(0.0)) > 4.5
    assert [text.get_text() for text in strip.get_yticklabels()] == ["good", "bad"]
    assert [text.get_text() for text in heat.get_xticklabels()] == ["x", "y", "z"]
    assert [text.get_text() for text in bar.get_xticklabels()] == ["low", "high"]
    sheet = strip.images[0].get_array().reshape(2, 6, 2, 6)[:, 1:-1, :, 1:-1]
    np.testing.assert_allclose(sheet, images[..., 0].swapaxes(1, 2), atol=1e-6)
    image = np.asarray(Image.open(io.BytesIO(figure._repr_png_())))
    box = heat.get_window_extent()
    row, column = image.shape[0] - int(box.y0 + 0.9 * box.height), int(box.x0 + 0.05 * box.width)
    np.testing.assert_allclose(image[row, column] / 255, plots.ALARM(0.0)[:3], atol=0.01)  # better than real is yellow


def test_loss_curves_have_their_reference_lines():
    levels = lambda figure: [
        [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":"] for ax in figure.axes
    ]
    assert levels(plots.losses(HISTORY)) == [pytest.approx([2 * np.log(2), np.log(2)]), [0.5]]
    assert levels(plots.losses(HISTORY, reference=False)) == [[], []]


def test_a_history_of_no_steps_is_an_empty_frame_with_its_reference_lines():
    figure = plots.losses({name: values[:0] for name, values in HISTORY.items()})
    assert [[line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":"] for ax in figure.axes] == [
        pytest.approx([2 * np.log(2), np.log(2)]),
        [0.5],
    ]
    assert all("no steps yet" in [text.get_text() for text in ax.texts] for ax in figure.axes)
    assert figure.axes[0].get_ylim() == (0, pytest.approx(2.5 * np.log(2)))
    assert figure._repr_png_()
    assert all("no steps yet" not in [text.get_text() for text in ax.texts] for ax in plots.losses(HISTORY).axes)


@pytest.mark.parametrize("steps", [1, 2, 49])
def test_short_histories_are_drawn(steps):
    assert plots.losses({name: values[:steps].tolist() for name, values in HISTORY.items()})._repr_png_()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_leaves_a_gap(bad):
    for values in (np.where(HISTORY["step"] == 200, bad, 1.0), np.full(200, bad)):
        assert np.isfinite(plots.losses(HISTORY | {"g_loss": values, "d_loss": values}).axes[0].get_ylim()).all()


@pytest.mark.parametrize("history", [("state", HISTORY), None, {}, {"step": [1]}, [1.0]])
def test_what_is_no_history_is_refused(history):
    with pytest.raises(
        ValueError, match=r"history is a \w+ without d_loss .*expected the second thing that fit returns"
    ):
        plots.losses(history)


@pytest.mark.parametrize(
    ("points", "words"),
    [
        (np.zeros((0, 2)), r"shape \(0, 2\), expected points in the plane \(n, 2\), at least one"),
        (np.zeros((4, 3)), r"shape \(4, 3\), expected points"),
        (np.zeros(2), "expected points"),
        (0.0, "expected points"),
        ((np.zeros((4, 2)), np.zeros(4)), "is a tuple of 2 parts"),
        (np.full((4, 2), np.nan), "not finite in 4 of 4 rows"),
    ],
)
def test_what_is_no_point_in_the_plane_is_refused(points, words):
    for arguments in ((points, np.ones((3, 2))), (np.ones((3, 2)), points)):
        with pytest.raises(ValueError, match=words):
            plots.four_layers(*arguments, lambda x: x[:, 0])


def test_the_moving_mean_lies_on_the_curve():
    ax = plots.losses(HISTORY).axes[0]
    bold = next(line for line in ax.lines if line.get_label() == "G's loss")
    np.testing.assert_allclose(bold.get_ydata(), np.convolve(HISTORY["g_loss"], np.ones(4) / 4, mode="valid"))
    assert bold.get_xdata()[-1] == 200


@pytest.mark.parametrize(("loss", "weight"), [(non_saturating, lambda s: 1 - s), (minimax, lambda s: s)])
def test_arrows_are_each_fakes_own_descent(loss, weight):
    """For D's logit s = x the push is (1 − σ(s), 0) with the non-saturating loss and (σ(s), 0) with the minimax one."""
    fake = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    figure = plots.four_layers(np.ones((50, 2)), fake, lambda x: x[:, 0], generator_loss=loss, arrow=1.0, limit=2)
    quiver = next(c for c in figure.axes[0].collections if hasattr(c, "U"))
    np.testing.assert_allclose(quiver.U, weight(1 / (1 + np.exp(-fake[:, 0]))), rtol=1e-4)
    np.testing.assert_allclose(quiver.V, 0, atol=1e-6)
    np.testing.assert_allclose(quiver.XY, fake)


def arrows(figure):
    quiver = next(c for c in figure.axes[0].collections if hasattr(c, "U"))
    return np.hypot(quiver.U, quiver.V)


def test_one_scale_holds_for_all_pictures_and_cuts_what_leaves_them():
    """For D's logit s = ax the push at x = 0 is a/2."""
    lengths = [
        arrows(plots.four_layers(np.ones((9, 2)), np.zeros((9, 2)), lambda x, a=a: a * x[:, 0], arrow=0.1, limit=2.0))
        for a in (1, 4, 100)
    ]
    np.testing.assert_allclose(lengths, np.array([[0.05], [0.2], [1.0]]) * np.ones(9), rtol=1e-5)


@pytest.mark.parametrize("strength", [1e-3, 1, 100])
def test_without_a_scale_the_longest_arrow_is_an_eighth_of_the_width(strength):
    fake = np.random.default_rng(0).normal(size=(30, 2)).astype(np.float32)
    figure = plots.four_layers(np.ones((50, 2)), fake, lambda x: strength * (x**2).sum(1), limit=2.0)
    assert arrows(figure).max() == pytest.approx(0.5, rel=1e-5)


def test_no_arrow_where_nothing_pushes():
    figure = plots.four_layers(np.ones((9, 2)), np.zeros((9, 2)), lambda x: 0 * x[:, 0])
    assert (arrows(figure) == 0).all()


def test_the_legend_hides_no_data():
    figure = plots.four_layers(np.ones((9, 2)), np.zeros((9, 2)), lambda x: x[:, 0])
    figure.canvas.draw()
    ax = figure.axes[0]
    legend, shown = ax.get_legend().get_window_extent(), ax.get_window_extent()
    assert legend.y1 <= shown.y0
    assert legend.y0 >= 0


def test_the_surface_is_the_discriminators_probability():
    figure = plots.four_layers(np.ones((50, 2)), np.zeros((30, 2)), lambda x: x[:, 0] + 2 * x[:, 1], limit=1.0)
    surface = figure.axes[0].images[0]
    assert surface.get_extent() == [-1, 1, -1, 1]
    corners = surface.get_array()[[0, 0, -1, -1], [0, -1, 0, -1]]  # origin at the bottom left
    np.testing.assert_allclose(corners, 1 / (1 + np.exp([3, 1, -1, -3])), rtol=1e-5)


def test_colours_tell_roles_apart():
    assert len({plots.REAL, plots.FAKE, plots.JUDGE}) == 3
    for colour in (plots.REAL, plots.FAKE, plots.JUDGE):
        assert contrast(colour, "white") > 3
    for end in (0.0, 1.0):  # what alarms, and what fools, is neither real nor fake
        assert all(
            np.abs(np.subtract(plots.ALARM(end)[:3], to_rgb(role))).max() > 0.3 for role in (plots.REAL, plots.FAKE)
        )
    fake_side, _, real_side = (np.array(plots.SURFACE(p)[:3]) for p in (0.0, 0.5, 1.0))
    assert fake_side[0] > fake_side[2]
    assert real_side[2] > real_side[0]


def test_an_animation_is_an_apng_of_all_frames(tmp_path):
    frames = [np.full((20, 30, 3), shade, np.uint8) for shade in (0, 120, 250)]
    film = plots.animation(frames, seconds=1.5)
    film.save(tmp_path / "film.png")
    png = Image.open(io.BytesIO(film._repr_png_()))
    assert (tmp_path / "film.png").read_bytes() == film._repr_png_()
    assert (png.n_frames, png.size, png.info["loop"]) == (4, (30, 20), 0)  # a still picture, then the film
    for i, frame in enumerate(frames):
        png.seek(i + 1)
        assert png.info["duration"] == (500 if i < 2 else 1500)
        np.testing.assert_allclose(np.asarray(png.convert("RGB")), frame, atol=2)


def test_the_still_picture_of_a_film_is_its_last_frame():
    """What print, PDF and a preview show, which know only the PNG around the APNG."""
    frames = [np.full((20, 30, 3), shade, np.uint8) for shade in (0, 120, 250)]
    png = Image.open(io.BytesIO(plots.animation(frames).png))
    assert png.default_image
    np.testing.assert_allclose(np.asarray(png.convert("RGB")), frames[-1], atol=2)


def test_a_film_keeps_the_colours_of_a_few_points_on_a_surface():
    """The palette has room for a thousand shades of the surface; the points' colours must not pay for it."""
    frames = [
        np.uint8(255 * plots.SURFACE(np.linspace(0, 0.7, 200 * 200).reshape(200, 200)))[..., :3] for _ in range(2)
    ]
    roles = [np.uint8(255 * np.array(to_rgb(colour))) for colour in (plots.REAL, plots.FAKE)]
    for i, role in enumerate(roles):
        frames[1][10:14, 10 * i + 10 : 10 * i + 14] = role
    png = Image.open(io.BytesIO(plots.animation(frames).png))
    png.seek(2)
    shown = np.asarray(png.convert("RGB"))
    for i, role in enumerate(roles):
        np.testing.assert_allclose(shown[12, 10 * i + 12], role, atol=12)


def test_a_surface_on_film_has_no_bands_that_its_function_lacks():
    """Beside all that else is coloured: each shade is near the one drawn, and no two neighbours are far apart."""
    rng, ramp = np.random.default_rng(0), plots.SURFACE(np.linspace(0, 1, 400), bytes=True)[:, :3]
    frames = [np.tile(ramp, (100, 1, 1)) for _ in range(2)]
    frames[1][:50] = rng.integers(0, 255, (50, 400, 3))
    shown = np.asarray(Image.open(io.BytesIO(plots.animation(frames).png)).convert("RGB"))[80]
    np.testing.assert_allclose(shown, ramp, atol=3)
    assert np.abs(np.diff(shown.astype(int), axis=0)).max() <= 5


def test_a_film_without_a_surface_has_its_whole_palette():
    greys = np.repeat(np.arange(0, 256, 17, dtype=np.uint8), 30).reshape(16, 30, 1) * np.ones(3, np.uint8)
    film = Image.open(io.BytesIO(plots.animation([greys, greys[::-1]], colours=16).png))
    np.testing.assert_allclose(np.asarray(film.convert("RGB")), greys[::-1], atol=3)  # six bits a channel


def test_figures_make_frames():
    film = plots.animation([plots.losses(HISTORY), plots.losses(HISTORY, reference=False)])
    png = Image.open(io.BytesIO(film.png))
    assert png.n_frames == 3
    assert png.convert("RGB").getpixel((0, 0)) == (255, 255, 255)


def test_a_film_of_a_surface_has_a_white_page():
    points = np.random.default_rng(0).normal(size=(2, 200, 2))
    frames = [plots.four_layers(*points, lambda x, a=a: a * jnp.sin(3 * x[:, 0]) - x[:, 1]) for a in (1, 2)]
    assert Image.open(io.BytesIO(plots.animation(frames).png)).convert("RGB").getpixel((0, 0)) == (255, 255, 255)


@pytest.mark.parametrize(("count", "cure"), [(0, "callback never called"), (25, "every n-th")])
def test_no_frames_or_too_many_are_refused(count, cure):
    with pytest.raises(ValueError, match=rf"2 to 24 frames.*got {count}\. .*{cure}"):
        plots.animation([np.zeros((2, 2, 3), np.uint8)] * count)


@pytest.mark.parametrize("frame", [np.full((20, 30, 3), 120, np.uint8), plots.samples(np.zeros((3, 9, 9)))])
def test_one_frame_is_a_still_picture(frame, tmp_path):
    """What is left of a film where a training was resumed after all but its last frame."""
    film = plots.animation([frame])
    film.save(tmp_path / "film.png")
    png = Image.open(tmp_path / "film.png")
    assert getattr(png, "n_frames", 1) == 1
    np.testing.assert_allclose(np.asarray(png.convert("RGB")), plots._pixels(frame), atol=2)


@pytest.mark.parametrize(
    "frame", [np.zeros((2, 2, 3)), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 1), np.uint8), 7, None]
)
def test_what_is_no_frame_is_refused(frame):
    with pytest.raises(ValueError, match=r"A frame is .*expected"):
        plots.animation([frame, frame])


def test_frames_of_two_sizes_are_refused():
    with pytest.raises(ValueError, match="one size"):
        plots.animation([np.zeros((2, 2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)])
