"""What the platform hosts beside its agents."""

from agents.tools import Tools
from controlplane.runtime.relay import Relay


def relay(tools: Tools) -> Relay:
    return Relay(tools.database, tools.publisher)
