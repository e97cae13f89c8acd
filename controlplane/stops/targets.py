"""What a stop can be about. A name that nothing has would be a stop that stops nothing."""

from agents import topics
from agents.registry import AGENTS

MAX_CONVERSATION = 100
OURS = "platform"  # gate, intake, recorder: no stop is for them

Refusal = tuple[str, str]  # the field, and what is wrong with it


def names_of(scope: str) -> tuple[str, ...]:
    """Return the names that a scope knows. Conversations have any."""
    agents = {name: flow for name, (flow, _) in AGENTS.items() if flow != OURS}
    known = {
        "tier": topics.TIERS,
        "agent": tuple(agents),
        "workflow": tuple(dict.fromkeys(agents.values())),
    }
    return known.get(scope, ())


def agents_in(scope: str, value: str) -> list[str]:
    """Return the agents that a stop is about; of a conversation it is none."""
    known = {name: flow for name, (flow, _) in AGENTS.items() if flow != OURS}
    if scope == "agent":
        return [name for name in known if name == value]
    if scope == "workflow":
        return [name for name, flow in known.items() if flow == value]
    return [] if scope == "conversation" else list(known)


def refusal(*, mode: str, scope: str, value: str) -> Refusal | None:
    """Return why there is no such stop, or nothing if there is."""
    if scope == "everything":
        return ("value", "is not needed: everything is stopped") if value else None
    if mode == "soft" and scope == "conversation":
        return "scope", "a soft stop is not for one conversation: it needs a hard one"
    if scope == "conversation":
        is_one = 0 < len(value) <= MAX_CONVERSATION and value.isprintable()
        wanted = f"must be a conversation: 1 to {MAX_CONVERSATION} printable characters"
        return None if is_one else ("value", wanted)
    names = names_of(scope)
    if value not in names:
        return "value", f"must be one of {', '.join(names)}"
    return None
