"""Routes of the rules."""

from django.urls import path

from controlplane.rulebook import (
    backtest_views,
    evaluation_views,
    file_views,
    views,
)

app_name = "rules"
urlpatterns = [
    path("", views.rules, name="list"),
    path("published/", views.published, name="published"),
    path("review/", views.review, name="review"),
    path("history/", views.history, name="history"),
    path("history/<int:key>/", views.publication, name="publication"),
    path("import/", file_views.bring, name="import"),
    path("export/", file_views.export, name="export"),
    path("add/", views.add, name="add"),
    path("try/", views.try_out, name="try"),
    path("backtests/", backtest_views.backtests, name="backtests"),
    path("backtests/rule/", backtest_views.backtest_rule, name="backtest-rule"),
    path("backtests/<uuid:key>/", backtest_views.backtest, name="backtest"),
    path("backtests/<uuid:key>/cancel/", backtest_views.cancel, name="cancel-backtest"),
    path("backtests/<uuid:key>/again/", backtest_views.again, name="repeat-backtest"),
    path(
        "backtests/<uuid:key>/samples/", backtest_views.samples, name="backtest-samples"
    ),
    path("evaluations/", evaluation_views.evaluations, name="evaluations"),
    path("evaluations/<uuid:key>/", evaluation_views.evaluation, name="evaluation"),
    path(
        "evaluations/<uuid:key>/report/",
        evaluation_views.report,
        name="evaluation-report",
    ),
    path(
        "evaluations/<uuid:key>/cancel/",
        evaluation_views.cancel,
        name="cancel-evaluation",
    ),
    path(
        "evaluations/<uuid:key>/delete/",
        evaluation_views.delete,
        name="delete-evaluation",
    ),
    path("rule/<slug:slug>/", views.rule, name="rule"),
    path("rule/<slug:slug>/delete/", views.delete, name="delete"),
]
