"""The chat pages."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def demo(request: HttpRequest, **_: str) -> HttpResponse:
    return render(request, "base.html")
