"""The demo model as a process, for rules that need scores."""

from collections.abc import Iterator

import pytest

from agents.scorers.blocking import BlockingScorers
from agents.scorers.settings import ScorerSettings
from controlplane.embedded.model_server.minilm import DIMENSIONS
from tests.agents.scorers.endpoint import settings_for
from tests.embedded.conftest import running_model
from tests.guardrails.factories import make_masker


@pytest.fixture(scope="session")
def scorer_settings() -> Iterator[ScorerSettings]:
    with running_model() as model:
        yield settings_for(model.url, timeout_s=30.0, dimensions=DIMENSIONS)


@pytest.fixture(scope="session")
def scorers(scorer_settings: ScorerSettings) -> Iterator[BlockingScorers]:
    made = BlockingScorers(scorer_settings, make_masker())
    yield made
    made.close()
