"""What is written down has no personal data in it, and all that people look for in logs."""

import json
import logging
import subprocess
import sys

import pytest

from controlplane.logs import Formatter, hide_personal_data


@pytest.mark.parametrize("name", ["event", "exception", "error", "reason"])
def test_what_errors_quote_is_hidden(name: str) -> None:
    said = "duplicate key: (email)=(ada@mail.example) at 10.0.0.7:5432"

    event = hide_personal_data(None, "warning", {name: said, "offset": 41})

    told = "duplicate key: (email)=([e-mail]) at 10.0.0.7:5432"
    assert event == {name: told, "offset": 41}


def test_libraries_write_without_it_too() -> None:
    fields = {
        "name": "django",
        "levelname": "ERROR",
        "msg": "card %s",
        "args": ("4111111111111111",),
    }

    assert (
        Formatter("%(name)s %(message)s").format(logging.makeLogRecord(fields))
        == "django card [card]"
    )


def test_both_ways_are_set_up() -> None:
    code = (
        "import django; django.setup(); import logging, structlog\n"
        "logging.getLogger('other').error('card 4111111111111111')\n"
        "structlog.get_logger().warning('broke', reason='card 4111111111111111')"
    )

    said = subprocess.run(
        [sys.executable, "-c", code],
        env={"DJANGO_SETTINGS_MODULE": "tests.settings_without_database"},
        capture_output=True,
        text=True,
        check=True,
    ).stderr.splitlines()

    assert said[0].endswith("ERROR other card [card]")
    assert json.loads(said[1])["reason"] == "card [card]"
