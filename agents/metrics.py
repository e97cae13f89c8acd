"""What the runtime counts. Each worker's figures travel in its heartbeat; the web adds them up."""

from collections.abc import Iterator
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Histogram

REGISTRY = CollectorRegistry()
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)

RECORDS = Counter(
    "interlock_records",
    "Records that an agent is done with.",
    ["agent", "topic", "outcome"],
    registry=REGISTRY,
)
HANDLE_SECONDS = Histogram(
    "interlock_handle_seconds",
    "Time an agent's handler took, per record or per batch of a sink.",
    ["agent"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
MODEL_REQUESTS = Counter(
    "llm_requests",
    "Calls of a model backend.",
    ["backend", "tier", "outcome"],
    registry=REGISTRY,
)
MODEL_SECONDS = Histogram(
    "llm_latency_seconds",
    "Time from a model call to its whole answer.",
    ["backend", "tier"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
SCORES = Counter(
    "interlock_scores",
    "Texts that a scorer was asked about.",
    ["scorer", "outcome"],
    registry=REGISTRY,
)
DELIVERIES = Counter(
    "interlock_deliveries",
    "Messages that the gate delivered to a user.",
    ["workflow", "approved"],
    registry=REGISTRY,
)


def samples() -> Iterator[dict[str, Any]]:
    """Yield every family as plain data, for the heartbeat row."""
    for family in REGISTRY.collect():
        yield {
            "name": family.name,
            "help": family.documentation,
            "type": family.type,
            "samples": [
                [sample.name, sample.labels, sample.value]
                for sample in family.samples
                if not sample.name.endswith("_created")
            ],
        }
