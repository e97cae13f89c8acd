"""What a model is shown: no personal data of those who talk, and how to speak of it."""

from collections.abc import Sequence

from msgspec.structs import replace

from agents.agent import Answer, Said
from guardrails.masking import Masked, Masker

NOTE = (
    "Words in square brackets that end in eight letters, such as [card kxqzabcd], stand for "
    "personal data that you are not shown. Where you speak of it, repeat them letter by letter."
)


class Shown:
    """Messages with placeholders, and the way back for the answer to them."""

    def __init__(self, messages: Sequence[Said], masked: Masked) -> None:
        """masked: the texts of those messages that are not the operator's own."""
        self._masked = masked
        texts = iter(masked.texts)
        self.messages = [
            said if said.role == "system" else Said(said.role, next(texts))
            for said in messages
        ]
        if masked.values:
            self.messages = _with_note(self.messages)

    def restore(self, answer: Answer) -> Answer:
        return replace(answer, text=self._masked.restore(answer.text))


def show(masker: Masker, messages: Sequence[Said], request_id: str) -> Shown:
    """Mask what users wrote and read. Raises MaskingError."""
    texts = [said.text for said in messages if said.role != "system"]
    return Shown(messages, masker.mask(texts, request_id))


def _with_note(messages: list[Said]) -> list[Said]:
    if messages[0].role != "system":
        return [Said("system", NOTE), *messages]
    return [Said("system", f"{messages[0].text}\n\n{NOTE}"), *messages[1:]]
