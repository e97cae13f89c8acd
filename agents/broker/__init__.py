"""Kafka as the rest of the code sees it: a consumer, a producer, and what goes wrong with them."""

from agents.broker.consumer import Consumer, Rebalance, record_of
from agents.broker.errors import BrokerError, broker_error
from agents.broker.producer import Delivered, Producer

__all__ = [
    "BrokerError",
    "Consumer",
    "Delivered",
    "Producer",
    "Rebalance",
    "broker_error",
    "record_of",
]
