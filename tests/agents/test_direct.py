"""The model without storing: asks a real endpoint, and says when there is none."""

import pytest

from agents.agent import Said, UnavailableError
from agents.direct import DirectModel
from controlplane.embedded.services import Services
from tests.guardrails.factories import make_masker


async def test_nobody_answering_is_told() -> None:
    model = DirectModel("http://127.0.0.1:9/v1", "none", make_masker())

    with pytest.raises(UnavailableError, match=r"127\.0\.0\.1:9/v1 failed"):
        await model.answer("r", tier="free", messages=[Said("user", "hi")])


async def test_what_cannot_be_masked_is_told() -> None:
    model = DirectModel("http://127.0.0.1:9/v1", "none", make_masker())
    flood = "+49 711 12345 " * 20_000

    with pytest.raises(UnavailableError, match="the model is not asked"):
        await model.answer("r", tier="free", messages=[Said("user", flood)])


async def test_an_answer_comes_from_the_backend(services: Services) -> None:
    url = services.environment["OPENAI_BASE_URL"]

    answer = await DirectModel(url, "interlock-demo", make_masker()).answer(
        "r", tier="free", messages=[Said("user", "Hello")]
    )

    assert answer.text
    assert answer.backend == "direct"
