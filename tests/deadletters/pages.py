"""Reads the dead letters pages as their text."""

import re
from html import unescape

from django.test import Client
from django.urls import reverse

from controlplane.deadletters.models import Letter

LIST = "/dlq/"


def plain(html: str) -> str:
    return " ".join(unescape(re.sub("<[^>]+>", " ", html)).split())


def text(client: Client, path: str = LIST, status: int = 200) -> str:
    response = client.get(path)
    assert response.status_code == status
    return plain(response.content.decode())


def url(letter: Letter) -> str:
    return reverse("deadletters:letter", args=[letter.pk])
