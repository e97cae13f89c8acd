"""Services that need not run for pages to be looked at."""

from tests.home.conftest import kafka_says, services_down

__all__ = ["kafka_says", "services_down"]
