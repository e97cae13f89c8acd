"""A model port that asks one backend, each time anew, and stores nothing."""

from collections.abc import Sequence

from agents.agent import FALLBACK_TEXT, Answer, Said, UnavailableError
from agents.backends import BackendError, Backends
from agents.control_state import Route
from agents.masked import show
from guardrails.masking import Masker, MaskingError

TIMEOUT_S = 60.0


class DirectModel:
    """Where the product would fall back, this says what went wrong."""

    def __init__(self, base_url: str, model: str, masker: Masker) -> None:
        self._masker = masker
        self._route = Route(
            tier="free",
            backend="direct",
            base_url=base_url,
            model=model,
            key_variable="OPENAI_API_KEY",
            timeout_s=TIMEOUT_S,
            fallback_text=FALLBACK_TEXT,
        )

    async def answer(
        self, request_id: str, *, tier: str, messages: Sequence[Said]
    ) -> Answer:
        try:
            shown = show(self._masker, messages, request_id)
        except MaskingError as error:
            raise UnavailableError(f"the model is not asked: {error}") from error
        backends = Backends()
        try:
            return shown.restore(await backends.ask(self._route, shown.messages))
        except (TimeoutError, BackendError) as error:
            url = self._route.base_url
            raise UnavailableError(f"the model at {url} failed: {error!r}") from error
        finally:
            await backends.close()
