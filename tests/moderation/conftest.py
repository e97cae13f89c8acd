"""People and answers of the queue's tests."""

import pytest
from django.contrib.auth.models import User
from django.test import Client

from moderation.models import Approval
from tests.factories import make_approval, make_moderator
from tests.moderation.rows import publish_rules


@pytest.fixture
def rules(db: None) -> None:
    publish_rules()


@pytest.fixture
def mira(db: None) -> User:
    return make_moderator()


@pytest.fixture
def jonas(db: None) -> User:
    return make_moderator("jonas")


@pytest.fixture
def approval(db: None) -> Approval:
    made = make_approval()
    return Approval.objects.with_conversation().get(pk=made.pk)


@pytest.fixture
def mira_client(client: Client, mira: User) -> Client:
    client.force_login(mira)
    return client
