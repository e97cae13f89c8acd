"""The scripts as our own server hands them out: pages of other origins import them."""

from pathlib import Path

import pytest
from django.test import Client

SCRIPTS = sorted(
    path.name for path in (Path(__file__).parents[2] / "static/widget").glob("*.js")
)


@pytest.mark.parametrize("name", ["widget.js", "chat.js"])
def test_any_origin_may_import_them(client: Client, name: str) -> None:
    assert name in SCRIPTS

    response = client.get(f"/static/widget/{name}", HTTP_ORIGIN="https://shop.example")

    assert response.status_code == 200
    assert response["Access-Control-Allow-Origin"] == "*"
    assert response["Content-Type"].startswith("text/javascript")
    response.close()
