"""What is masked. Known also to processes that mask nothing."""

from typing import NamedTuple


class MaskingSettings(NamedTuple):
    """types: of personal data. regions: whose phone numbers and ids; none: all known.

    secret: signs placeholders, so that nobody can try values against them.
    """

    types: tuple[str, ...]
    secret: bytes
    regions: tuple[str, ...] = ()
