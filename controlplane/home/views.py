"""The home pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def index(request: HttpRequest, **_: str) -> HttpResponse:
    return render(request, "base.html")
