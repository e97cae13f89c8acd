"""Where the scorers are. Known also to those who ask none."""

import msgspec


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a scorer is, and how long it may take. name: as people know it."""

    name: str
    base_url: str
    key: str = ""
    model: str = ""
    timeout_s: float = 5.0

    def elsewhere(
        self, name: str, base_url: str, key: str, *, model: str, timeout_s: float
    ) -> "Endpoint":
        """Return another endpoint: here, if it has no address. A key is for its own host alone."""
        usual = "" if base_url else self.key
        return Endpoint(
            name=name,
            base_url=base_url or self.base_url,
            key=key or usual,
            model=model,
            timeout_s=timeout_s,
        )


class ScorerSettings(msgspec.Struct, frozen=True, kw_only=True):
    """dimensions: of the embeddings' vectors."""

    embeddings: Endpoint
    moderation: Endpoint
    judge: Endpoint
    dimensions: int
