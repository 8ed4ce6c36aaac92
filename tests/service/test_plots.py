"""The pictures of a job: the right numbers at the right places, and a picture whatever the job."""

import io
import math
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import update

from migrations.migrate import migrate
from models.architecture import architecture_of
from models.definitions.job import JobDefinition
from models.diagnosis.finding import Code, Severity
from models.expectation import expect
from models.reports import Sampled
from models.tables import Job
from models.time_axis import time_axis
from service.api.plots import NAMES
from service.plots import loss
from service.plots.heat_map import MOST_COLUMNS, MOST_ROWS
from service.plots.looks import COLOURS, FILLS, INFINITE, LEVELS, NAN, STYLE_HASH, ZERO
from service.plots.network import MOST_BOXES
from service.plots.png import dashed
from tests.models.test_findings import a_diagnosis, a_finding
from tests.service.conftest import Api
from tests.service.drawn import DEEP, RNN, Drawn, a_job, an_epoch, sampled, succeeded

Plot = Callable[[str, str], Drawn]
MOST_BYTES = {"svg": 250_000, "png": 500_000}
WILD_NAME = "<script>alert('ü')</script> & \U0001f680 \x01 ]]>"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """For all tests here, on SQLite alone: what is read is read by queries that are tested on both."""
    folder = tmp_path_factory.mktemp("plots")
    url = f"sqlite:///{folder / 'descent.db'}"
    migrate(url)
    api = Api(url, folder)
    yield api
    api.close()


@pytest.fixture
def plot(api: Api) -> Plot:
    def get(job: str, name: str) -> Drawn:
        reply = api.get(f"/{job}/plots/{name}.svg")
        assert (reply.status_code, reply.mimetype) == (200, "image/svg+xml"), reply.text
        assert len(reply.data) < MOST_BYTES["svg"]
        return Drawn(reply.data)

    return get


def pixels(api: Api, job: str, name: str) -> Image.Image:
    reply = api.get(f"/{job}/plots/{name}.png")
    assert (reply.status_code, reply.mimetype) == (200, "image/png"), reply.text
    assert len(reply.data) < MOST_BYTES["png"]
    return Image.open(io.BytesIO(reply.data)).convert("RGB")


def colours(image: Image.Image) -> set[str]:
    found = image.getcolors(image.width * image.height)
    assert found is not None
    return {f"#{red:02x}{green:02x}{blue:02x}" for _, (red, green, blue) in found}


def close(one: Any, other: Any, tolerance: float = 0.02) -> bool:
    return bool(np.allclose(one, other, rtol=tolerance))


# Loss

FALLING = [(2.0, 2.2), (0.5, 0.7), (0.1, 0.3), (0.04, 0.35)]


def test_losses_are_drawn_where_they_are_and_the_best_epoch_is_marked(api: Api, plot: Plot) -> None:
    rows = [an_epoch(number, *values, best=number == 3) for number, values in enumerate(FALLING, start=1)]
    drawn = plot(a_job(api, *rows, succeeded()), "loss")
    for place, look in enumerate(("train", "validation")):
        [line] = drawn.lines(look)
        assert close([x for x, _ in line], [1, 2, 3, 4])
        assert close([y for _, y in line], [values[place] for values in FALLING])
    [best] = drawn.lines("best")
    assert close([x for x, _ in best], [3, 3])
    assert "best: epoch 3" in drawn.texts("label")
    assert "loss, logarithmic" in drawn.texts("label")
    assert "Best epoch 3: 0.3." in drawn.root.findtext("{*}desc", "")


def test_losses_of_one_size_are_drawn_without_logarithm_and_restarts_are_not_joined(api: Api, plot: Plot) -> None:
    rows = [an_epoch(1, -0.5, 1.0), an_epoch(2, -1.0, 0.9), an_epoch(3, 0.2, 1.1, run=1), an_epoch(4, 0.1, 1, run=1)]
    drawn = plot(a_job(api, *rows), "loss")
    lines = drawn.lines("train")
    assert [[round(y, 2) for _, y in line] for line in lines] == [[-0.5, -1.0], [0.2, 0.1]]
    assert "loss" in drawn.texts("label")


def test_a_loss_that_is_not_finite_is_a_gap_with_a_cross(api: Api, plot: Plot) -> None:
    wild = [(1.0, 1.1), (math.nan, math.inf), (0.8, 0.9), (0.7, 0.8)]
    job = a_job(api, *[an_epoch(number, *values) for number, values in enumerate(wild, start=1)])
    drawn = plot(job, "loss")
    assert len(drawn.lines("train")) == 1  # the lone epoch before is a dot
    assert drawn.count("polyline", "line-cross") == 2 * 2 + 2
    assert drawn.texts("alarm") == ["+inf, nan"]
    assert "nan" not in "".join(line.get("points", "") for line in drawn.root.findall("{*}polyline"))


@pytest.mark.parametrize(("value", "name"), [(math.nan, "nan"), (math.inf, "+inf")])
def test_a_job_that_ends_in_a_loss_that_is_not_finite_says_so(api: Api, plot: Plot, value: float, name: str) -> None:
    drawn = plot(a_job(api, an_epoch(1, 1.0, 1.1), an_epoch(2, value, value)), "loss")
    assert f"Epoch 2: train {name}, validation {name}." in drawn.root.findtext("{*}desc", "")
    assert plot(a_job(api, an_epoch(1, value, value)), "loss").texts("alarm") == [name]


def test_no_two_ticks_of_losses_that_hardly_differ_read_the_same(api: Api, plot: Plot) -> None:
    drawn = plot(a_job(api, an_epoch(1, 2.3061, 2.3031), an_epoch(2, 2.3049, 2.3029)), "loss")
    ticks = drawn.texts("tick")
    assert len(ticks) == len(set(ticks))


def test_of_many_epochs_extremes_and_the_best_are_kept(api: Api, plot: Plot) -> None:
    values = 1 + np.random.default_rng(0).random(3000)
    values[1777] = 1e-3
    rows = [an_epoch(number, value, 2.0, number == 999) for number, value in enumerate(values.tolist(), start=1)]
    job = a_job(api, *rows)
    drawn = plot(job, "loss")
    [line] = drawn.lines("train")
    assert len(line) <= loss.MOST_EPOCHS + 1
    assert min(y for _, y in line) == pytest.approx(1e-3, rel=0.02)
    assert "best: epoch 999" in drawn.texts("label")


# Gradients

STEPS = list(range(0, 100, 10))


def norms(job_tensors: int, steps: int = len(STEPS)) -> np.ndarray:
    """Each ten times the one before, falling over the steps."""
    return np.outer(np.linspace(1, 0.5, steps), 10.0 ** np.arange(job_tensors))


def test_the_norms_of_weights_are_shades_by_their_logarithm(api: Api, plot: Plot) -> None:
    given = norms(14)
    job = a_job(api, sampled("tensors", "norm", STEPS, given), **DEEP)
    drawn = plot(job, "gradients")
    [cells] = drawn.cells()
    logs = np.log10(given[:, ::2].T)  # biases are left out
    expected = (logs - logs.min()) / (logs.max() - logs.min()) * (LEVELS - 1)
    assert np.abs(np.array(cells) - expected).max() <= 0.51
    assert {"hidden_0", "output", "0", "90"} <= set(drawn.texts("tick"))
    assert "Inf" not in drawn.texts("tick")
    image = pixels(api, job, "gradients")
    assert image.size == (1600, 2 * 350)
    first, last = cells[0][0], cells[-1][-1]
    left, top, width, height = 170 * 2, 80 * 2, 530 * 2, 30 * 7 * 2
    assert image.getpixel((left + 5, top + 5)) == rgb(COLOURS[first])
    assert image.getpixel((left + width - 5, top + height - 5)) == rgb(COLOURS[last])


def rgb(colour: str) -> tuple[int, ...]:
    return tuple(bytes.fromhex(colour[1:]))


def test_nan_infinity_and_zero_are_colours_of_their_own(api: Api, plot: Plot) -> None:
    given = norms(14)
    given[3, 0], given[4, 2], given[5, 4] = math.nan, math.inf, 0.0
    job = a_job(api, sampled("tensors", "norm", STEPS, given), **DEEP)
    drawn = plot(job, "gradients")
    [cells] = drawn.cells()
    assert (cells[0][3], cells[1][4], cells[2][5]) == (NAN, INFINITE, ZERO)
    assert {"NaN", "Inf", "0"} <= set(drawn.texts("tick"))
    assert "2 numbers are not finite." in drawn.root.findtext("{*}desc", "")
    assert {COLOURS[level] for level in (NAN, INFINITE, ZERO)} <= colours(pixels(api, job, "gradients"))


@pytest.mark.parametrize("value", [math.nan, math.inf, 0.0, 1e-38, 3e38])
@pytest.mark.parametrize("name", ["gradients", "flow"])
def test_the_same_number_everywhere_is_a_picture(api: Api, plot: Plot, name: str, value: float) -> None:
    everywhere = np.full((len(STEPS), 14), value)
    gains = sampled("layers", "gain", STEPS, everywhere[:, :6])
    job = a_job(api, sampled("tensors", "norm", STEPS, everywhere), gains, **DEEP)
    assert plot(job, name).texts("title")


def test_five_hundred_layers_over_many_steps_are_pooled_and_lose_no_nan(api: Api, plot: Plot) -> None:
    deep = {"network": {"family": "dnn", "hidden": [2] * 500}, "data": {"dataset": "xor"}}
    steps, values = list(range(300)), np.random.default_rng(0).random((300, 1002))
    values[123, 700] = math.nan
    gains = sampled("layers", "gain", steps, values[:, :500])
    findings = a_diagnosis(a_finding(Code.VANISHING_DEPTH, layers=(250,)))
    job = a_job(api, sampled("tensors", "norm", steps, values), gains, findings, **deep)
    drawn = plot(job, "gradients")
    [cells] = drawn.cells()
    assert (len(cells) <= MOST_ROWS, len(cells[0]) <= MOST_COLUMNS) == (True, True)
    assert any(NAN in row for row in cells)
    assert "Each row is the largest of 6 neighbours." in " ".join(drawn.texts())
    for name in ("flow", "network"):
        assert plot(job, name).texts("title")
    for name in ("gradients", "flow", "network"):
        assert pixels(api, job, name).height < 3000


# Flow


def test_the_flow_is_the_product_of_gains_beside_the_theory_line(api: Api, plot: Plot) -> None:
    gains = np.tile([0.1, 0.5, 0.2, 0.3, 0.4, 0.6], (len(STEPS), 1))
    gains[-1] *= 2
    job = a_job(api, sampled("layers", "gain", STEPS, gains), **DEEP)
    drawn = plot(job, "flow")
    for look, row in (("step0", gains[0]), ("step3", gains[-1])):
        [line] = drawn.lines(look)
        assert close([x for x, _ in line], range(1, 7))
        assert close([y for _, y in line], np.cumprod(row[::-1])[::-1], 0.05)
    expected = expect(architecture_of(JobDefinition.model_validate(api.get(f"/{job}").json["definition"]))).gains
    [theory] = drawn.lines("theory")
    assert close([y for _, y in theory], np.cumprod(list(expected.values())[::-1])[::-1], 0.05)
    assert {"step 0", "step 90", "theory at init"} <= set(drawn.texts("label"))


def test_a_share_that_no_float_can_be_has_its_place(api: Api, plot: Plot) -> None:
    deep = {"network": {"family": "dnn", "hidden": [2] * 100}, "data": {"dataset": "xor"}}
    job = a_job(api, sampled("layers", "gain", STEPS, np.full((len(STEPS), 100), 1e-5)), **deep)
    drawn = plot(job, "flow")
    assert "1e-500" in drawn.texts("tick")
    assert "is 1.0e-500 at the first one" in drawn.root.findtext("{*}desc", "")


def test_a_gain_that_is_not_finite_or_zero_ends_the_line_with_a_cross(api: Api, plot: Plot) -> None:
    gains = np.full((len(STEPS), 6), 0.5)
    gains[:, 2] = [math.nan, *[0.0] * (len(STEPS) - 1)]
    drawn = plot(a_job(api, sampled("layers", "gain", STEPS, gains), **DEEP), "flow")
    [line] = drawn.lines("step0")
    assert close([x for x, _ in line], [4, 5, 6])
    assert drawn.count("polyline", "line-cross") == 2 * 4  # at four steps


def test_without_hidden_layers_the_flow_is_of_the_norms_of_weights(api: Api, plot: Plot) -> None:
    job = a_job(api, **RNN)
    layers = api.get(f"/{job}/layers").json["items"]
    given = np.ones((len(STEPS), sum(len(layer["tensors"]) for layer in layers)))
    drawn = plot(a_job(api, sampled("tensors", "norm", STEPS, given), **RNN), "flow")
    assert "gradient norm" in drawn.texts("label")
    assert "theory at init" not in drawn.texts("label")
    perceptron = {"network": {"family": "dnn", "hidden": []}, "data": {"dataset": "xor"}}
    one = a_job(api, sampled("tensors", "norm", STEPS, np.ones((len(STEPS), 2))), **perceptron)
    assert plot(one, "flow").count("circle", "fill-step3") == 1
    assert plot(one, "gradients").texts("title")
    assert plot(one, "network").count("rect", "fill-card") >= 1


# Time


def test_the_gradient_over_time_has_a_row_for_each_time_step(api: Api, plot: Plot) -> None:
    axis = time_axis(architecture_of(JobDefinition.model_validate(RNN)))
    assert axis is not None
    length = len(axis.time_steps)
    given = np.tile(10.0 ** np.arange(-length, 0), (len(STEPS), 1))
    drawn = plot(a_job(api, sampled("time", "norm", STEPS, given), **RNN), "time")
    [cells] = drawn.cells()
    assert (len(cells), len(cells[0])) == (length, len(STEPS))
    assert [row[0] for row in cells] == sorted(row[0] for row in cells)
    assert (cells[0][0], cells[-1][0]) == (0, LEVELS - 1)
    assert "t 0" in drawn.texts("tick")


def test_a_network_without_recurrence_says_so(api: Api, plot: Plot) -> None:
    assert "no recurrent layer" in plot(a_job(api, **DEEP), "time").texts("message")[0]


# Network


def test_layers_have_the_colour_of_what_is_said_of_them(api: Api, plot: Plot) -> None:
    found = (
        a_finding(Code.VANISHING_DEPTH, layers=(0, 1)),
        a_finding(Code.SATURATED, Severity.WARNING, layers=(1, 3)),
    )
    drawn = plot(a_job(api, a_diagnosis(*found), **DEEP), "network")
    assert [drawn.count("rect", f"fill-{look}") for look in ("fault", "warning")] == [2, 1]
    assert drawn.count("rect", "fill-healthy") >= 2
    assert "vanishing_depth" in drawn.texts("alarm")
    definition = api.get(f"/{a_job(api, **DEEP)}").json["definition"]
    parameters = architecture_of(JobDefinition.model_validate(definition)).parameters
    assert f"{parameters:,} parameters" in drawn.root.findtext("{*}desc", "")


def test_layers_that_are_alike_are_one_box_and_there_are_not_too_many(api: Api, plot: Plot) -> None:
    drawn = plot(a_job(api, **DEEP), "network")
    assert "hidden_1 … hidden_5  (5 layers)" in drawn.texts("name")
    widths = [number % 7 + 2 for number in range(60)]
    many = {"network": {"family": "dnn", "hidden": widths}, "data": {"dataset": "xor"}}
    job = a_job(api, a_diagnosis(a_finding(Code.SATURATED, layers=(30,))), **many)
    drawn = plot(job, "network")
    assert drawn.count("rect", "fill-card") == MOST_BOXES
    assert drawn.count("rect", "fill-fault") == 1  # the middle is as ill as its worst layer


# Whatever the job


@pytest.mark.parametrize("name", ["loss", "gradients", "flow", "network"])
def test_a_job_that_waits_has_pictures_that_say_so(api: Api, plot: Plot, name: str) -> None:
    job = api.post().json["id"]
    drawn = plot(job, name)
    assert drawn.texts("message")[0].endswith("yet: the job is queued.")
    assert api.get(f"/{job}/plots/{name}.svg").headers["Retry-After"] == "1"
    assert pixels(api, job, name).size == (1600, 360)


def test_names_are_text_and_nothing_runs(api: Api) -> None:
    rows = [an_epoch(number, *values) for number, values in enumerate(FALLING, start=1)]
    job = a_job(api, *rows, **DEEP, name=WILD_NAME)
    for name in NAMES:
        reply = api.get(f"/{job}/plots/{name}")
        assert reply.status_code == 200
        if name.endswith(".svg"):
            drawn = Drawn(reply.data)
            assert "<script>alert('ü')</script> & \U0001f680" in drawn.root.findtext("{*}title", "")
            assert not drawn.root.findall(".//{*}script")
            assert not [key for found in drawn.root.iter() for key in found.keys() if key.startswith("on")]  # noqa: SIM118
            policy = reply.headers["Content-Security-Policy"]
            assert f"style-src '{STYLE_HASH}'" in policy
            assert "script-src" not in policy
            assert "sandbox" in policy


def test_a_picture_is_light_and_dark_and_says_what_it_shows(api: Api, plot: Plot) -> None:
    drawn = plot(a_job(api, an_epoch(1, 1.0, 1.1)), "loss")
    assert "@media (prefers-color-scheme:dark)" in drawn.text
    assert FILLS["paper"].dark in drawn.text
    assert drawn.root.get("role") == "img"
    assert drawn.root.get("aria-labelledby") == "title description"
    assert drawn.root.findtext("{*}desc")


def test_who_knows_a_picture_is_told_when_it_is_another(api: Api) -> None:
    job = a_job(api, an_epoch(1, 1.0, 1.1))
    for name in NAMES:
        first = api.get(f"/{job}/plots/{name}")
        assert first.headers["Cache-Control"] == "private, no-cache"
        again = api.get(f"/{job}/plots/{name}", If_None_Match=first.headers["ETag"])
        assert (again.status_code, again.data) == (304, b"")
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(step=Job.step + 1))
    moved = api.get(f"/{job}/plots/loss.svg", If_None_Match=first.headers["ETag"])
    assert moved.status_code == 200
    first = moved
    api.client.patch(f"/v1/jobs/{job}", json={"name": "another"}, headers=api.headers)
    assert api.get(f"/{job}/plots/loss.svg", If_None_Match=first.headers["ETag"]).status_code == 200


@pytest.mark.parametrize("name", ["loss.gif", "loss", "no.svg", ".svg", "loss.svg.png", "%00", "x" * 300])
def test_a_picture_that_there_is_not_is_a_404_that_names_those_there_are(api: Api, name: str) -> None:
    job = api.post().json["id"]
    refused = api.get(f"/{job}/plots/{name}")
    assert (refused.status_code, refused.json["code"]) == (404, "not_found")
    assert "loss.svg" in refused.json["detail"]
    assert api.get(f"/job_{'0' * 26}/plots/loss.svg").status_code == 404
    assert api.get(f"/{job}/plots/loss.svg?width=9").status_code == 422


def test_a_definition_that_is_not_understood_any_more_still_has_pictures(api: Api, plot: Plot) -> None:
    gains: Sampled = sampled("layers", "gain", STEPS, np.full((len(STEPS), 6), 0.5))
    job = a_job(api, gains, an_epoch(1, 1.0, 1.1), **DEEP)
    definition = api.get(f"/{job}").json["definition"] | {"gone": 1}
    with api.database.write() as connection:
        connection.execute(update(Job).where(Job.id == job).values(definition=definition))
    assert "theory at init" not in plot(job, "flow").texts("label")
    for name in ("loss", "gradients", "time", "network"):
        assert plot(job, name).root is not None


def test_a_dashed_line_is_drawn_by_turns() -> None:
    assert dashed(((0, 0), (20, 0)), (5, 4)) == [[(0, 0), (5, 0)], [(9, 0), (14, 0)], [(18, 0), (20, 0)]]
    assert dashed(((0, 0), (3, 4), (3, 10)), ()) == [[(0, 0), (3, 4), (3, 10)]]
