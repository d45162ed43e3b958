"""The page of `dvc plots`: DVC fills it, nothing is loaded from elsewhere, and it draws."""

import hashlib
import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import yaml

from tests.helpers.pipeline_clone import run
from voxsds.files.disk import read_yaml, write_image, write_text

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / ".dvc" / "plots"
TEMPLATE = SOURCES / "page.html"
PLOTS = read_yaml(ROOT / "dvc.yaml")["plots"]
CHARTS = [next(iter(plot.values())) for plot in PLOTS if isinstance(plot, dict)]
COLUMNS = "step loss probe_margin occupancy_grad_norm material_grad_norm num_active_voxels occupancy_mean"
IMAGES = ("before_after", "test_images/view_0", "test_images/view_1", "test_images/view_2")
LINE = (0x94, 0x5D, 0xD6)  # DVC's colour of a single run


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    """Written by `dvc plots show` of this project's plots, from made-up logs and pictures."""
    folder = tmp_path_factory.mktemp("plots")
    shutil.copytree(ROOT / ".dvc" / "plots", folder / ".dvc" / "plots")
    shutil.copy(ROOT / ".dvc" / "config", folder / ".dvc" / "config")
    (folder / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    (folder / "dvc.yaml").write_text(yaml.safe_dump({"plots": PLOTS}, sort_keys=False))
    names = COLUMNS.split()
    rows = ["\t".join(str(step * (1 + i)) for i in range(len(names))) for step in range(20)]
    write_text(folder / "out_local/logs/train.tsv", "\n".join(["\t".join(names), *rows, ""]))
    for name in IMAGES:
        write_image(folder / f"out_local/report/{name}.png", np.full((20, 40, 3), 0.5))
    run(folder, sys.executable, "-m", "dvc", "plots", "show")
    return folder / "dvc_plots" / "index.html"


def references(text: str) -> list[str]:
    """Every src and href of a page, without what a script might say of some."""
    found: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attrs: found.extend(
        value or "" for name, value in attrs if name in ("src", "href", "xlink:href", "action")
    )
    parser.feed(text)
    return found


def test_the_page_names_no_address_outside(page):
    text = page.read_text()
    pictures = [f"workspace_out_local_report_{name.replace('/', '_')}.png" for name in IMAGES]
    assert [Path(reference).name for reference in references(text)] == pictures
    assert all(reference.startswith("static/") for reference in references(text))
    assert "@import" not in text and not re.search(r"url\(\s*[\"']?https?:", text)
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert policy.startswith("default-src 'none'") and "http" not in policy


def test_the_curves_stand_before_the_images_and_the_loss_before_all(page):
    text = page.read_text()
    titles = [chart["title"] for chart in CHARTS]
    places = [text.index(f'"text": "{title}"') for title in titles]
    assert places == sorted(places) and "loss" in titles[0]
    assert places[-1] < text.index('<img src="static/')
    assert "{plot_divs}" not in text and "{refresh_tag}" not in text


def test_the_page_is_built_from_the_sources_beside_it():
    files = [*SOURCES.glob("*.js"), *SOURCES.glob("*.json"), *SOURCES.glob("*.css"), SOURCES / "frame.html"]
    content = b"".join(p.read_bytes() for p in sorted(files, key=lambda p: p.name))
    found = f"Sources: sha256 {hashlib.sha256(content).hexdigest()}"
    assert found in TEMPLATE.read_text(), "run make plots-page"


def test_the_page_brings_the_notices_of_what_it_contains_and_stays_small():
    text = TEMPLATE.read_text()
    for name in ("vega 5", "vega-lite 5", "vega-embed 6", "d3-array 3", "topojson-client 3"):
        assert re.search(rf"[ \n]{name}\.\d+\.\d+[,:]", text), name
    assert (
        "University of Washington Interactive Data Lab" in text and "Copyright 2010-2026 Mike Bostock" in text
    )
    assert len(text.encode()) < 1_000_000


@pytest.mark.browser
def test_every_chart_is_drawn_without_a_network_or_a_word_on_the_console(page, chromium):
    context = chromium.new_context(offline=True, viewport={"width": 1300, "height": 900})
    tab, said, asked = context.new_page(), [], []
    tab.on("console", lambda message: said.append(message.text))
    tab.on("pageerror", lambda error: said.append(str(error)))
    tab.on("request", lambda request: asked.append(request.url))
    tab.goto(page.as_uri())
    tab.wait_for_function(f"document.querySelectorAll('canvas').length === {len(CHARTS)}", timeout=20_000)
    drawn = tab.evaluate(
        """([r, g, b]) => [...document.querySelectorAll('canvas')].map(canvas => {
            const {data} = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
            let count = 0;
            for (let i = 0; i < data.length; i += 4)
                count += data[i] === r && data[i + 1] === g && data[i + 2] === b;
            return count;
        })""",
        LINE,
    )  # pixels of the line
    assert min(drawn) > 100
    shown = tab.evaluate("() => [...document.querySelectorAll('canvas, img')].map(e => e.tagName)")
    assert shown == ["CANVAS"] * len(CHARTS) + ["IMG"] * len(IMAGES)
    assert tab.evaluate("() => [...document.images].every(i => i.naturalWidth === 40)")
    assert tab.evaluate("() => document.documentElement.scrollWidth") <= 1300
    context.close()
    assert said == [] and all(url.startswith(("file:", "data:", "blob:")) for url in asked)
