"""The report: one file that shows the pictures it is about, and runs nothing of what it is given."""

import base64
import hashlib
import io
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from tests.helpers.pages import ROOT
from tests.helpers.report_page import make_page, with_custom_material
from tests.helpers.small_run import SETTINGS
from voxsds.cli.headline import headline
from voxsds.files.disk import write_image
from voxsds.report.charts import corners, smoothed
from voxsds.report.curves import HEIGHT, MOST_POINTS, WIDTH, Series, curve, ticks
from voxsds.report.gather import digest, provenance, read_history, read_test_images
from voxsds.report.page import BUDGET, BUNDLE, PROGRESSION, STYLE, data_uri, html, write_report
from voxsds.report.sheet import contact_sheet, to_bytes
from voxsds.validate.checks import failed
from voxsds.validate.figures import BeforeAfter

EVIL = """a <b>stone</b> tower & "snow" </pre><script>alert('x')</script>"""
VOID = {"meta", "link", "img", "br", "input", "line", "circle", "polyline"}


class Balance(HTMLParser):
    """Checks that every element is closed in order, and collects what the page refers to."""

    def __init__(self, text: str):
        super().__init__()
        self.open, self.references, self.tags, self.scripts, self.texts = [], [], set(), [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.references += [value for name, value in attrs if name in ("src", "href", "srcset", "data")]
        assert not [name for name, _ in attrs if name.startswith("on")], f"{tag} has an event handler"
        if tag == "script":
            self.scripts.append(dict(attrs))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag, f"</{tag}> closes nothing that is open"

    def handle_data(self, data):
        if self.open and self.open[-1] not in ("script", "style"):
            self.texts.append(data)


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    return make_page(tmp_path_factory.mktemp("evaluator"), EVIL)


@pytest.fixture(scope="module")
def text(page):
    return html(page)


def world_of(text: str) -> dict:
    """What the page holds for the viewer."""
    return json.loads(re.search(r'id="world">(.*?)</script>', text, re.DOTALL)[1])


def test_the_page_is_well_formed(text):
    parsed = Balance(text)
    assert not parsed.open
    assert {"h1", "img", "svg", "table", "canvas"} <= parsed.tags


def test_what_the_user_wrote_is_shown_as_text_and_never_run(page):
    text = html(with_custom_material(page, "</script><script>alert(2)//<!--"))
    parsed = Balance(text)
    assert parsed.scripts == [{"type": "application/json", "id": "world"}, {}]
    assert EVIL in "".join(parsed.texts)
    assert "<b>stone" not in text and "alert(2)//<!--" not in text
    assert world_of(text)["materials"][-1]["name"] == "</script><script>alert(2)//<!--"


def test_only_the_bundle_may_run_and_nothing_may_be_loaded(text):
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', text)[1]
    script = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)[-1]
    assert script == BUNDLE.read_text()
    named = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{named}'" in policy.replace("&#39;", "'")
    assert policy.startswith("default-src 'none'") or policy.startswith("default-src &#39;none")
    outside = [
        r for r in Balance(text).references if not r.startswith(("data:image/png;base64,", "data:,", "#"))
    ]
    assert not outside and "@import" not in STYLE.read_text() and "url(" not in STYLE.read_text()


def test_the_bundle_brings_the_notice_of_three(text):
    assert "Copyright © 2010-2026 three.js authors" in text and "WITHOUT WARRANTY OF ANY KIND" in text


def test_the_bundle_is_built_from_the_sources_of_the_viewer():
    files = (p for kind in ("*.js", "*.json") for p in (ROOT / "viewer").glob(kind))
    content = b"".join(p.read_bytes() for p in sorted(files, key=lambda p: p.name))
    assert f"Sources: sha256 {hashlib.sha256(content).hexdigest()}" in BUNDLE.read_text(), "run make viewer"


def test_the_page_is_small(text):
    assert len(text.encode()) < 1_000_000 < BUDGET


def test_a_failed_criterion_says_what_to_try(page, text):
    missed = failed(page.validation.criteria)
    assert missed
    shown = "".join(Balance(text).texts)
    assert all(shown.count(f"What to try: {check.remedy}") == 2 for check in missed)


def test_a_failure_is_named_with_its_figure_and_the_cleanup_is_told(page, text):
    found = failed(page.validation.failures)
    assert found  # random weights recognise nothing
    shown = " ".join("".join(Balance(text).texts).split())
    for check in found:
        assert f"{check.name}: {check.figure}What to try: {check.remedy}" in shown
    counts = {"blocks": 64, "holes_filled": 3, "speckles_repainted": 0, "groups_dropped": 1}
    figures = page.validation.figures
    told = html(with_figures(page, replace(figures, cleanup=replace(figures.cleanup, counts=counts))))
    assert "The cleanup changed 0 cells. All that the export did: holes filled 3, groups dropped 1.<" in told


def with_figures(page, figures):
    return replace(page, validation=replace(page.validation, figures=figures))


def test_the_verdict_says_in_how_many_views_the_prompt_is_recognised(page):
    figures = page.validation.figures
    quality = replace(figures.quality, r_precision=BeforeAfter(0.25, 0.5))
    told = html(with_figures(page, replace(figures, quality=quality)))
    header = told.partition("<header>")[2].partition("</header>")[0]
    assert "recognises the prompt in 50% of the held-out views, 25% before." in header


def luminance(color: str) -> float:
    """Relative luminance of #rrggbb (WCAG 2.2)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


@pytest.mark.parametrize("scheme", [0, 1])
def test_text_stands_out_from_its_ground(scheme):
    """4.5 to 1 for text, 3 to 1 for lines that mean something, in the light and in the dark scheme."""
    blocks = re.findall(r":root \{(.*?)\}", STYLE.read_text(), re.DOTALL)
    colors = dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6})", " ".join(blocks[: scheme + 1])))
    ratio = lambda a, b: (  # noqa: E731
        (max(luminance(colors[a]), luminance(colors[b])) + 0.05)
        / (min(luminance(colors[a]), luminance(colors[b])) + 0.05)
    )
    for ground in ("paper", "card", "tint"):
        for ink in ("ink", "soft", "accent", "good", "bad"):
            assert ratio(ink, ground) >= 4.5, f"{ink} on {ground}: {ratio(ink, ground):.2f}"
        for line in ("s0", "s1", "s2", "s3"):
            assert ratio(line, ground) >= 3, f"{line} on {ground}: {ratio(line, ground):.2f}"
    assert ratio("on-accent", "accent") >= 4.5


def test_the_page_shows_every_check_and_every_picture(page, text):
    listed = text.partition('<h2 id="h-checks">')[2].partition("</section>")[0]
    shown = unescape(listed)
    for check in (*page.validation.criteria, *page.validation.failures):
        assert check.name in shown and check.figure in shown
    assert listed.count('<td class="mark') == len(page.validation.criteria) + len(page.validation.failures)
    pictures = 3 * SETTINGS.pictured + sum(map(len, page.run.test_images.values()))
    assert text.count('src="data:image/png') == pictures + 2  # the slider begins with the first view


def test_a_log_without_some_columns_still_makes_a_page(text):
    assert "Gradient norms: nothing was logged." in text


def test_a_picture_in_the_page_has_the_pixels_that_were_drawn():
    image = torch.rand(3, 5, 7)
    png = base64.b64decode(data_uri(image).partition(",")[2])
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(png))), to_bytes(image))
    np.testing.assert_array_equal(to_bytes(image), (255 * image.permute(1, 2, 0)).round().byte().numpy())


def test_progression_shows_the_first_and_the_last_and_not_too_many(page):
    moments = {step: page.run.test_images[0] for step in range(0, 1001, 25)}
    text = html(replace(page, run=replace(page.run, test_images=moments)))
    shown = [int(step) for step in re.findall(r"<figcaption>step (\d+)</figcaption>", text)]
    assert shown[0] == 0 and shown[-1] == 1000 and len(shown) == PROGRESSION and shown == sorted(shown)


@given(st.floats(-1e6, 1e6), st.floats(1e-6, 1e6))
def test_ticks_are_few_round_and_inside(low, span):
    found = ticks(low, low + span)
    slack = 1e-6 * (abs(low) + span)
    assert 1 <= len(found) <= 6
    assert all(low - slack <= tick <= low + span + slack for tick in found)
    assert found == sorted(found)


def test_ticks_of_a_usual_run():
    assert ticks(0.0, 400.0) == [0, 100, 200, 300, 400]
    assert ticks(0.2, 0.31) == pytest.approx([0.2, 0.25, 0.3])


@given(st.lists(st.floats(-1e9, 1e9) | st.just(float("nan")), min_size=1, max_size=30))
@example([5e-324])
@example([0.0, 5e-324])
def test_a_curve_stays_inside_its_box_whatever_was_logged(values):
    drawn = str(curve("loss", [Series("loss", pd.Series(values))]))
    points = re.findall(r"(-?[\d.]+),(-?[\d.]+)", " ".join(re.findall(r'points="([^"]*)"', drawn)))
    for x, y in points:
        assert 0 <= float(x) <= WIDTH and 0 <= float(y) <= HEIGHT
    assert "nan" not in drawn and "inf" not in drawn


def test_a_curve_that_falls_goes_down_and_to_the_right():
    drawn = str(curve("probe", [Series("probe", pd.Series([3.0, 2.0, 1.0], index=[0, 10, 20]))]))
    points = [tuple(map(float, p.split(","))) for p in re.search(r'points="([^"]*)"', drawn)[1].split()]
    (x0, y0), (x1, y1), (x2, y2) = points
    assert x0 < x1 < x2 and y0 < y1 < y2  # y counts downwards in SVG
    assert x1 - x0 == pytest.approx(x2 - x1, abs=0.2)


def test_a_long_run_keeps_its_first_and_last_point_and_not_too_many():
    drawn = str(curve("loss", [Series("loss", pd.Series(np.arange(10_001.0)))]))
    points = re.search(r'points="([^"]*)"', drawn)[1].split()
    assert len(points) <= MOST_POINTS + 1
    assert "loss 0 at step 0, 1e+04 at step 10000" in drawn


@given(st.floats(-1e6, 1e6), st.integers(2, 50), st.integers(1, 100))
def test_smoothing_keeps_a_constant(value, span, count):
    assert smoothed(pd.Series([value] * count), span).tolist() == pytest.approx([value] * count)


def test_smoothing_follows_a_jump_within_its_span_and_passes_over_nan():
    mean = smoothed(pd.Series([0.0] * 50 + [1.0] * 50), 10)
    assert mean[49] == 0 and mean[54] == pytest.approx(0.5) and mean[59] == pytest.approx(1)
    assert smoothed(pd.Series([2.0, np.nan, 4.0, np.inf]), 3).tolist() == [2.0, 2.0, 3.0, 4.0]


def test_a_value_that_is_held_between_measurements_is_drawn_where_it_was_measured():
    assert corners(pd.Series([3.0, 3.0, 2.0, 2.0, 2.0, 1.0])).to_dict() == {0: 3.0, 2: 2.0, 5: 1.0}
    assert corners(pd.Series([3.0] * 6)).to_dict() == {0: 3.0, 5: 3.0}
    assert corners(pd.Series([], dtype=float)).empty


def test_the_contact_sheet_holds_every_view_before_and_after():
    before, after = torch.rand(8, 3, 40, 40), torch.rand(8, 3, 40, 40)
    sheet = contact_sheet(before, after, [f"view {i}" for i in range(8)], "a tower")
    windows = np.lib.stride_tricks.sliding_window_view(sheet, (40, 40), axis=(0, 1))
    for image in (*before, *after):
        expected = to_bytes(image)
        corner = np.argwhere((sheet == expected[0, 0]).all(axis=-1))
        inside = [c for c in corner if c[0] < windows.shape[0] and c[1] < windows.shape[1]]
        assert any(np.array_equal(windows[y, x].transpose(1, 2, 0), expected) for y, x in inside)


def test_in_the_contact_sheet_after_stands_under_before():
    red, blue = torch.zeros(1, 3, 20, 20), torch.zeros(1, 3, 20, 20)
    red[:, 0], blue[:, 2] = 1, 1
    sheet = contact_sheet(red, blue, ["one"], "a title far too long for a sheet as narrow as this one is" * 3)
    (top_red, left_red), (top_blue, left_blue) = (
        np.argwhere((sheet == color).all(axis=-1)).min(axis=0) for color in ((255, 0, 0), (0, 0, 255))
    )
    assert left_red == left_blue and top_blue >= top_red + 20


def test_history_has_the_columns_of_the_log(tmp_path):
    path = tmp_path / "train.tsv"
    path.write_text("step\tloss\n0\t1.5\n1\tnan\n")
    history = read_history(path)
    assert history["step"].tolist() == [0.0, 1.0]
    assert history["loss"][0] == 1.5 and np.isnan(history["loss"][1])
    path.write_text("step\tloss\n0\t1.5\n1\n")
    with pytest.raises(ValueError, match="line 3 has not 2 columns"):
        read_history(path)


def test_test_images_are_read_by_step_and_view(tmp_path):
    for step in (0, 50, 10000):
        for view in (0, 1, 10):
            write_image(
                tmp_path / f"step_{step:04d}_view_{view}.png", np.full((2, 3, 3), view, dtype=np.uint8)
            )
    images = read_test_images(tmp_path)
    assert list(images) == [0, 50, 10000]
    assert (images[50][:, 0, 0, 0] * 255).round().tolist() == [0, 1, 10]
    with pytest.raises(ValueError, match="no step_"):
        read_test_images(tmp_path / "elsewhere")


def test_a_digest_is_that_of_the_content_wherever_it_lies(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder / "inner").mkdir(parents=True)
        (tmp_path / folder / "inner" / "x.bin").write_bytes(b"1")
    assert digest(tmp_path / "a") == digest(tmp_path / "b")
    (tmp_path / "b" / "inner" / "x.bin").write_bytes(b"2")
    assert digest(tmp_path / "a") != digest(tmp_path / "b")
    facts = provenance([tmp_path / "a"])
    assert "torch" in facts["packages"] and facts[(tmp_path / "a").as_posix()] == digest(tmp_path / "a")


def test_the_headline_tells_the_figures_and_where_the_report_is(tmp_path, page):
    write_report(tmp_path, page)
    assert {p.name for p in tmp_path.iterdir()} == {
        "index.html", "before_after.png", "test_images", "metrics.json", "figures.json"
    }  # fmt: skip
    said = headline(tmp_path)
    assert str(tmp_path / "index.html") in said
    assert re.search(r"R-precision over held-out views\s+\d\.\d\d → \d\.\d\d", said)
    assert re.search(r"criteria passed\s+\d+ of 21", said)
