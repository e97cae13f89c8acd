"""A product with a database of its own, on the Kafka that all tests share."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import sql

from controlplane.embedded.postgres import APPLICATION, OWNER
from controlplane.embedded.services import Services
from tests.conftest import RUN_DIR
from tests.e2e.product import Product, running

PREPARE = """
from pathlib import Path
from django.core.management import call_command
call_command("prepare")
call_command("seed_demo", talk=False, password_file=Path({file!r}))
from django.contrib.auth.models import User
from controlplane.accounts.actions import create_token
mira = User.objects.get(username="mira")
print(create_token(mira, scopes=["approvals:read", "approvals:decide"], actor="test"))
"""


@pytest.fixture(scope="module")
def own_product(services: Services) -> Iterator[Product]:
    """Products of tests/e2e come later: nobody else is in the groups of its workers."""
    postgres = services.postgres
    assert postgres is not None
    name = f"backups_{uuid4().hex[:8]}"
    with psycopg.connect(postgres.url(OWNER), autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    urls = {
        "DATABASE_URL": postgres.url(APPLICATION, name),
        "DATABASE_OWNER_URL": postgres.url(OWNER, name),
    }
    logs = RUN_DIR / "backups"
    with running(Product(services.environment | urls, logs)) as product:
        password = logs / "password"
        password.write_text(product.password)
        said = product.python(PREPARE.format(file=str(password)))
        product.switch_automatic_stops_off()
        product.env["TOKEN_OF_MIRA"] = said.split()[-1]
        yield product
