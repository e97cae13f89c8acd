"""Somebody who may change rules."""

import pytest
from django.contrib.auth.models import User

from tests.factories import make_admin


@pytest.fixture
def ada(db: None) -> User:
    return make_admin()
