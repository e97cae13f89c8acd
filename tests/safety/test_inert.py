"""Hostile texts everywhere, a hundred by chance or all three hundred: each page is made of what it is made of with harmless ones."""

import re
from html.parser import HTMLParser
from itertools import chain

import pytest
from django.db import transaction
from django.test import Client

from tests.safety import hostile
from tests.safety.world import Shown, make_viewer, make_world

pytestmark = pytest.mark.django_db

ADDRESSES = {"action", "formaction", "href", "ping", "poster", "src", "srcset"}
ADDRESSES |= {"hx-get", "hx-post", "data", "background"}
# What may be typed or copied is as it was written: a text area, a form's value.
WRITTEN = {"textarea", "script", "style"}
# By list, not by the categories that the product goes by. Joiners of emoji may stay.
HIDES = re.compile(
    "[\0-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u180e\u200b\u200c\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u2800\u3164\ufe00-\ufe0e\ufeff\uffa0\ufff9-\ufffb\ue000"
    "\U000e0000-\U000e0fff\U000f0000]|[\u0300-\u036f]{7}"
)
NUMBER = re.compile(r"h\d{3}(?!\d)")


class Seen(HTMLParser):
    """What a page is made of: elements with their attributes, addresses, classes, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: set[tuple[str, frozenset[str]]] = set()
        self.addresses: set[str] = set()
        self.classes: set[str] = set()
        self.text: list[str] = []
        self._inside = ""
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._inside = tag
        given = {name: value or "" for name, value in attrs}
        self.elements.add((tag, frozenset(given)))
        self.classes |= set(given.get("class", "").split())
        self.addresses |= {given[name] for name in ADDRESSES & given.keys()}
        self.text += [given[name] for name in {"title", "aria-label"} & given.keys()]

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside not in WRITTEN:
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        self.elements.add(("comment", frozenset({data})))


def look(client: Client, shown: Shown) -> Seen:
    response = client.get(shown.path)
    assert response.status_code < 500, shown.path
    return Seen(response.content.decode())


def see_all(texts: list[str], client: Client) -> dict[Shown, Seen]:
    """Look at all pages of a world of these texts, which is gone afterwards."""
    with transaction.atomic():
        viewer = make_viewer(texts)
        client.force_login(viewer)
        seen = {shown: look(client, shown) for shown in make_world(texts, viewer)}
        transaction.set_rollback(True)
    return seen


def harmless(texts: list[str]) -> list[str]:
    return [f"{hostile.number_of(n)} a harmless text" for n, _ in enumerate(texts)]


@pytest.mark.usefixtures("services_down")
@pytest.mark.parametrize("count", hostile.COUNTS)
def test_no_text_becomes_a_part_of_a_page(client: Client, count: int) -> None:
    texts = hostile.strings(count)
    assert len(texts) == count

    usual, tried = see_all(harmless(texts), client), see_all(texts, client)

    allowed = set(chain(*(page.elements for page in usual.values())))
    allowed |= {("span", frozenset({"class", "title"})), ("wbr", frozenset())}
    classes = set(chain(*(page.classes for page in usual.values()))) | {"unseen"}
    for shown, page in tried.items():
        assert page.elements - allowed == set(), shown.path
        assert page.classes - classes == set(), shown.path
        assert [a for a in page.addresses if leads_away(a)] == [], shown.path
        text = " ".join(page.text)
        assert HIDES.search(text) is None, (shown.path, HIDES.search(text))
        missing = {hostile.number_of(n) for n in shown.texts} - {*NUMBER.findall(text)}
        assert missing == set(), shown.path


def leads_away(address: str) -> bool:
    bare = re.sub(r"\s", "", address).lower()
    return bool(re.match(r"//|\\|/\\|[^/?#]*:", bare))
