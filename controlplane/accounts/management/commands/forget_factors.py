"""For somebody who has lost his second factors, or has a new identity at single sign-on."""

import getpass
from argparse import ArgumentParser

from django.contrib.auth.models import User
from django.core.management.base import BaseCommand, CommandError

from controlplane.accounts import factors


class Command(BaseCommand):
    help = "Remove a person's second factors, recovery codes and single sign-on identity, and end his sessions."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--user", required=True)

    def handle(self, *, user: str, **_: object) -> None:
        try:
            person = User.objects.get_by_natural_key(user)
        except User.DoesNotExist:
            raise CommandError(f"there is no user {user!r}") from None
        count = factors.forget_factors(person, actor=f"shell:{getpass.getuser()}")
        self.stdout.write(f"{user} has no second factor any more ({count} removed)")
