"""The product's settings with no database, for `makemigrations --check`: it compares files alone."""

from controlplane.settings import *  # noqa: F403

DATABASES = {}  # Django's dummy, whose history nobody can ask
