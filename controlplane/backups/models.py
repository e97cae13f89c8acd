"""What a backup says of itself, so that a restore knows what came after it."""

from django.db import models


class Position(models.Model):
    """How far gate and intake had come in Kafka before the latest backup was begun."""

    topic = models.CharField(max_length=120)
    partition = models.IntegerField()
    next_offset = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(
                name="backups_position_is_one_per_partition",
                fields=["topic", "partition"],
            ),
        ]

    def __str__(self) -> str:
        return f"{self.topic}/{self.partition}@{self.next_offset}"
