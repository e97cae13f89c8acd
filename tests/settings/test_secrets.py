"""Secrets of a developer's machine: random, kept, and the same for processes that start together."""

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from django.test import Client, override_settings
from django.urls import reverse

from controlplane.environment import kept_secret
from tests.factories import make_admin


def test_a_secret_is_made_once_and_readable_by_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "run" / "secret-key"

    with ThreadPoolExecutor(8) as many:
        found = set(many.map(lambda _: kept_secret("NO_SUCH_NAME", path), range(32)))

    assert len(found) == 1
    assert len(found.pop()) > 60
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(path.parent.iterdir()) == [path]


def test_a_given_secret_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GIVEN", "from the environment")

    assert kept_secret("GIVEN", tmp_path / "none") == "from the environment"
    assert not (tmp_path / "none").exists()


@pytest.mark.django_db
def test_the_demo_is_neither_served_nor_linked_where_it_is_switched_off(
    client: Client,
) -> None:
    client.force_login(make_admin())
    assert reverse("chat:demo") in client.get(reverse("home:index")).content.decode()

    with override_settings(DEMO=False):
        assert client.get(reverse("chat:demo")).status_code == 404
        page = client.get(reverse("home:index")).content.decode()
    assert reverse("chat:demo") not in page
