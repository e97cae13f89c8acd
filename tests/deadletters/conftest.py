"""Somebody who may decide, and the stage of the agents' tests for agents that fail."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from tests.agents.conftest import loop_thread, stage
from tests.factories import make_admin

__all__ = ["loop_thread", "stage"]


@pytest.fixture
def ada(client: Client, db: None) -> User:
    user = make_admin()
    client.force_login(user)
    return user
