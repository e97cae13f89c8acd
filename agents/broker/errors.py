"""What goes wrong with Kafka, and what its library says about it."""

import logging

import structlog
from confluent_kafka import KafkaError, KafkaException

from agents.throttle import Throttle

log = structlog.get_logger()

_HOPELESS = {
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.INVALID_RECORD,
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
}


class BrokerError(Exception):
    """Kafka did not take or give a record. retriable: the same call may succeed later."""

    def __init__(self, reason: str, *, retriable: bool) -> None:
        super().__init__(reason)
        self.retriable = retriable


def delivery_error(error: KafkaError | None) -> BrokerError | None:
    if error is None:
        return None
    return BrokerError(error.str(), retriable=error.code() not in _HOPELESS)


def broker_error(error: KafkaException) -> BrokerError:
    cause = error.args[0]
    return BrokerError(cause.str(), retriable=cause.code() not in _HOPELESS)


_said = Throttle()


def log_error(error: KafkaError) -> None:
    _say(error.str(), code=error.name())


class _Throttled(logging.Handler):
    """What librdkafka would write to stderr. Of a failing broker it also calls error_cb."""

    def emit(self, record: logging.LogRecord) -> None:
        facility, _client, text = record.args or ("", "", record.msg)
        _say(str(text), code=str(facility))


library_log = logging.getLogger("librdkafka")
library_log.propagate = False
library_log.addHandler(_Throttled())


def _say(reason: str, *, code: str) -> None:
    repeated = _said.admit(reason)
    if repeated is not None:
        log.warning("kafka_client_error", reason=reason, code=code, repeated=repeated)
