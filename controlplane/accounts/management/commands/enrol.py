"""Adds a person, or one who has lost the password, and prints a link to choose one."""

import getpass
from argparse import ArgumentParser

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError
from django.urls import reverse

from controlplane.accounts import enrolments, people
from controlplane.accounts.roles import ROLES


class Command(BaseCommand):
    help = __doc__

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("username")
        parser.add_argument("--role", choices=[*ROLES], help="what the person may do")
        parser.add_argument("--name", default="", help="of who is added")
        parser.add_argument("--email", default="", help="of who is added")
        origins = settings.CSRF_TRUSTED_ORIGINS
        parser.add_argument(
            "--site",
            default=origins[0] if origins else "http://127.0.0.1:8000",
            help="where people open the product",
        )

    def handle(
        self, *, username: str, role: str | None, site: str, **about: str
    ) -> None:
        actor = f"shell:{getpass.getuser()}"
        try:
            person = self._person(
                username, role, about["name"], about["email"], actor=actor
            )
            code = enrolments.make_link(person.pk, actor=actor)
        except (people.PeopleError, enrolments.LinkError) as error:
            raise CommandError(str(error)) from error
        self.stderr.write(
            f"Valid once, for {enrolments.HOURS} hours. It is not shown again:"
        )
        self.stdout.write(f"{site.rstrip('/')}{reverse('accounts:enrol')}#{code}")

    def _person(
        self, username: str, role: str | None, name: str, email: str, *, actor: str
    ) -> User:
        found = User.objects.filter(username=username).first()
        if found is None:
            _check(username)
            return people.add_person(
                username, name=name, email=email, role=role or "", actor=actor
            )
        if role is not None:
            people.set_role(found.pk, role, actor=actor)
        return found


def _check(username: str) -> None:
    try:
        User.username_validator(username)
    except ValidationError as error:
        raise CommandError(error.messages[0]) from error
