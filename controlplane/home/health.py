"""What machines ask: is the process there, can it do its work, what has been counted."""

from agents.registry import AGENTS
from controlplane.home.services import Service
from controlplane.runtime.models import Heartbeat

NEEDED_SERVICES = ("postgresql", "kafka", "valkey")
# Without them traces are missing, mails wait, or nothing stops by itself; no answer is missing.
NOT_NEEDED = {"mail-intake", "mailer", "recorder", "tripwire"}
NEEDED_AGENTS = tuple(
    name
    for name, (workflow, _) in AGENTS.items()
    if workflow in {"chat", "platform"} and name not in NOT_NEEDED
)


def missing(services: list[Service]) -> list[str]:
    """Return the names of what chat needs and does not have."""
    down = [s.name for s in services if s.name in NEEDED_SERVICES and not s.is_up]
    if "postgresql" in down:
        return [*down, "agents"]  # nobody can say
    hosted = {
        status["agent"]
        for heartbeat in Heartbeat.objects.live().only("agents")
        for status in heartbeat.agents
        if status["state"] != "broken"
    }
    return down + [f"agent:{name}" for name in NEEDED_AGENTS if name not in hosted]
