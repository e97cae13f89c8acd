"""Teams, tokens of the API, links by which people join, attempts to sign in. People and roles are Django's."""

from django.conf import settings
from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q
from django.utils import timezone


class Team(models.Model):
    """Moderators who share a queue. Rules and topics name it by its slug."""

    slug = models.SlugField(unique=True)
    name = models.CharField(max_length=100)
    members = models.ManyToManyField(
        settings.AUTH_USER_MODEL, related_name="teams", blank=True
    )

    def __str__(self) -> str:
        return self.name


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def usable(self) -> "ApiTokenQuerySet":
        now = timezone.now()
        return self.filter(revoked_at=None, expires_at__gt=now, user__is_active=True)


class ApiToken(models.Model):
    """A bearer token. Only its SHA-256 is kept; it was shown once."""

    class Scope(models.TextChoices):
        EVENTS_WRITE = "events:write"
        TRACES_READ = "traces:read"
        APPROVALS_READ = "approvals:read"
        APPROVALS_DECIDE = "approvals:decide"
        RUNTIME_READ = "runtime:read"
        STOPS_READ = "stops:read"
        STOPS_WRITE = "stops:write"
        STOPS_RELEASE = "stops:release"

    user = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    name = models.CharField(max_length=100, blank=True)  # what it is for
    sha256 = models.CharField(max_length=64, unique=True)
    scopes = ArrayField(models.CharField(max_length=30, choices=Scope))
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    revoked_at = models.DateTimeField(null=True, blank=True)
    last_used_at = models.DateTimeField(null=True, blank=True)  # a minute late at most

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="accounts_token_can_do_something", condition=~Q(scopes=[])
            ),
        ]

    def __str__(self) -> str:
        return f"token {self.pk} of {self.user_id}"

    @property
    def state(self) -> str:
        if self.revoked_at is not None:
            return "revoked"
        if self.expires_at <= timezone.now():
            return "expired"
        return "usable" if self.user.is_active else "user inactive"


class Enrolment(models.Model):
    """The link by which a person chooses a password, once. A new one takes the place of the old."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, on_delete=models.CASCADE)
    sha256 = models.CharField(
        max_length=64, unique=True
    )  # of its code; it was shown once
    created_at = models.DateTimeField(default=timezone.now)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True, blank=True)

    def __str__(self) -> str:
        return f"enrolment of {self.user_id}"

    @property
    def has_expired(self) -> bool:
        return self.expires_at <= timezone.now()


class Attempts(models.Model):
    """How often somebody tried in vain to show who they are, by what is counted: attempts.py."""

    key = models.CharField(max_length=64, primary_key=True)
    count = models.PositiveIntegerField()
    ends_at = models.DateTimeField()  # then it counts from nothing

    class Meta:
        verbose_name_plural = "attempts"

    def __str__(self) -> str:
        return f"{self.count} attempts until {self.ends_at:%H:%M:%S}"
