"""What the style sheets promise: values stand in tokens.css, and every component in the styleguide."""

import re
from pathlib import Path

import pytest
from django.conf import settings
from django.test import Client
from django.urls import reverse

from tests.factories import make_admin

CSS = Path(__file__).resolve().parents[2] / "static" / "css"
SHEETS = sorted(CSS.glob("*.css"))
OURS = [sheet for sheet in SHEETS if sheet.name not in {"tokens.css", "demo.css"}]
COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
COLOUR = re.compile(
    r"#[0-9a-f]{3,8}\b|\b(?:rgb|hsl|oklch|lab)a?\(|\b(?:white|black|red|green|blue|gr[ae]y)\b",
    re.IGNORECASE,
)
SPACED = re.compile(
    r"(?:^|[;{\s])((?:padding|margin|gap|border-radius|font|row-gap|column-gap)[a-z-]*):\s*([^;}]+)"
)
LARGE = re.compile(
    r"(?<![\w.-])(?:[4-9]|[1-9]\d+)(?:\.\d+)?px"
)  # hairlines may be said
# What scripts, htmx and Django write by themselves, and what stands on no page of ours.
UNSEEN_CLASSES: set[str] = set()


def css_of(sheet: Path) -> str:
    return COMMENT.sub("", sheet.read_text())


@pytest.mark.parametrize("sheet", OURS, ids=lambda sheet: sheet.name)
def test_colours_and_distances_come_from_the_tokens(sheet: Path) -> None:
    css = re.sub(r"url\([^)]*\)", "", css_of(sheet))
    declared = re.findall(r"[{;]\s*[\w-]+:([^;}]+)", css)
    colours = [value for value in declared if COLOUR.search(value)]
    distances = [f"{a}: {b}" for a, b in SPACED.findall(css) if LARGE.search(b)]

    assert colours == []
    assert distances == []


def test_every_token_is_used_and_every_used_one_is_there() -> None:
    css = {sheet.name: css_of(sheet) for sheet in SHEETS if sheet.name != "demo.css"}
    declared = set(re.findall(r"(--[\w-]+):", css["tokens.css"]))
    used = {
        name for text in css.values() for name in re.findall(r"var\((--[\w-]+)", text)
    }

    assert declared == used


@pytest.mark.django_db
def test_every_component_is_shown_in_the_styleguide(client: Client) -> None:
    client.force_login(make_admin())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "DEBUG", True)
        html = client.get(reverse("home:styleguide")).content.decode()
    shown = {
        name
        for value in re.findall(r'\bclass="([^"]*)"', html)
        for name in value.split()
    }
    styled = {
        name
        for sheet in ("base.css", "shell.css")
        for selector in re.findall(r"([^{}]+)\{", css_of(CSS / sheet))
        for name in re.findall(r"\.([a-z][\w-]*)", selector)
    }

    assert styled - shown == UNSEEN_CLASSES


@pytest.mark.django_db
def test_the_styleguide_is_for_debugging_alone(client: Client) -> None:
    client.force_login(make_admin())

    assert client.get(reverse("home:styleguide")).status_code == 404


def test_every_icon_that_is_used_is_in_the_set_and_the_other_way_round() -> None:
    root = CSS.parents[1]
    [sprite] = (root / "static" / "icons").glob("lucide-*.svg")
    there = set(re.findall(r'symbol id="([^"]+)"', sprite.read_text()))
    templates = [path.read_text() for path in (root / "templates").rglob("*.html")]
    used = {
        name
        for text in templates
        for name in re.findall(r'_icon\.html" with name="([^"]+)"', text)
    }

    assert there == used
