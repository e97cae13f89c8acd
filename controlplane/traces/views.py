"""The traces pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def trace(request: HttpRequest, **_: str) -> HttpResponse:
    return render(request, "base.html")
