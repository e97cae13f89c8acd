"""People are managed on the product's own pages: Django's would change them past the rules and the log."""

from django.apps import apps
from django.contrib import admin

# Django's and allauth's, whatever they register.
LABELS = {"auth", "account", "mfa", "socialaccount", "usersessions"}

for config in apps.get_app_configs():
    for model in config.get_models() if config.label in LABELS else ():
        if admin.site.is_registered(model):
            admin.site.unregister(model)
