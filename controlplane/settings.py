"""Django's settings; everything that differs between machines comes from the environment."""

import sys
from pathlib import Path

import structlog

from agents.postgres import RECONNECT_S
from agents.scorers.settings import Endpoint, ScorerSettings
from controlplane import environment
from controlplane.database import PooledConnection
from controlplane.logs import hide_personal_data
from guardrails.masking_settings import MaskingSettings

BASE_DIR = Path(__file__).resolve().parent.parent

DEBUG = environment.flag("INTERLOCK_DEBUG", default=True)
# A developer's machine gets secrets of its own; elsewhere they must be given.
SECRET_KEY = (
    environment.kept_secret("INTERLOCK_SECRET_KEY", BASE_DIR / ".run" / "secret-key")
    if DEBUG
    else environment.text("INTERLOCK_SECRET_KEY")
)
# Shared with the servers of pages that embed the widget, so it signs nothing else.
WIDGET_SECRET = environment.own_secret("INTERLOCK_WIDGET_SECRET", SECRET_KEY, DEBUG)
# Keeps an end user's pseudonym the same when the other secrets change.
PSEUDONYM_SECRET = environment.own_secret(
    "INTERLOCK_PSEUDONYM_SECRET", SECRET_KEY, DEBUG
)
# Encrypts the secrets of second factors.
FACTOR_SECRET = environment.own_secret("INTERLOCK_FACTOR_SECRET", SECRET_KEY, DEBUG)
ALLOWED_HOSTS = environment.names("INTERLOCK_HOSTS", "127.0.0.1,localhost,[::1]")
CSRF_TRUSTED_ORIGINS = environment.names("INTERLOCK_ORIGINS")
# Pages of other hosts that may embed the widget; our own host always may.
WIDGET_ORIGINS = environment.names("INTERLOCK_WIDGET_ORIGINS")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.humanize",
    "django.contrib.postgres",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "allauth.socialaccount",
    "allauth.socialaccount.providers.openid_connect",
    "allauth.usersessions",
    "channels",
    "django_htmx",
    "ninja",  # the API's documentation page, served from here
    "controlplane.embedded",
    "controlplane.runtime",
    "controlplane.audit",
    "controlplane.accounts",
    "controlplane.effects",
    "controlplane.stops",
    "controlplane.routing",
    "guardrails",
    "controlplane.chat",
    "moderation",
    "controlplane.traces",
    "controlplane.deadletters",
    "controlplane.backtests",
    "controlplane.evaluations",
    "controlplane.incidents",
    "controlplane.rulebook",
    "controlplane.home",
    "controlplane.backups",
    "controlplane.api",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "controlplane.headers.HeadersMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "controlplane.idle.IdleMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "controlplane.away.DatabaseAwayMiddleware",
    "controlplane.api.middleware.api_answers",
    "controlplane.accounts.access.AccessMiddleware",
]

ROOT_URLCONF = "controlplane.urls"
ASGI_APPLICATION = "controlplane.asgi.application"
TEMPLATES = [
    {
        "BACKEND": "controlplane.visible.Pages",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "controlplane.home.context.shell",
            ],
        },
    },
]

# The application's role owns no table, so that the audit log is append-only for it;
# the owner's role migrates: `manage.py migrate --database owner`.
_DATABASE_URL = environment.text(
    "DATABASE_URL", "postgresql://interlock@127.0.0.1:5432/interlock"
)
DATABASES = {
    "default": environment.database("DATABASE_URL", _DATABASE_URL),
    "owner": environment.database("DATABASE_OWNER_URL", _DATABASE_URL),
}
DATABASES["default"]["CONN_HEALTH_CHECKS"] = True  # PostgreSQL may have been restarted
DATABASES["default"]["OPTIONS"] |= {
    "pool": {
        "min_size": 1,
        "max_size": 8,
        "timeout": 5,
        "reconnect_timeout": RECONNECT_S,
        "connection_class": PooledConnection,
    }
}
DATABASES["owner"]["TEST"] = {"MIRROR": "default"}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

REDIS_URL = environment.valkey("REDIS_URL", "redis://127.0.0.1:6379/0")
KAFKA = environment.kafka_client()
OPENAI_BASE_URL = environment.text("OPENAI_BASE_URL", "http://127.0.0.1:8089/v1")
OPENAI_API_KEY = environment.text("OPENAI_API_KEY", "demo")

# Where guardrails get their scores: each where the model is, unless it has an address of its own.
_MODEL = Endpoint(name="The model", base_url=OPENAI_BASE_URL, key=OPENAI_API_KEY)
_SCORER_TIMEOUT_S = environment.amount("INTERLOCK_SCORER_TIMEOUT_S", 5)
SCORERS = ScorerSettings(
    embeddings=_MODEL.elsewhere(
        "The embeddings endpoint",
        environment.text("INTERLOCK_EMBEDDINGS_URL"),
        environment.text("INTERLOCK_EMBEDDINGS_KEY"),
        model=environment.text("INTERLOCK_EMBEDDINGS_MODEL", "all-MiniLM-L6-v2"),
        timeout_s=_SCORER_TIMEOUT_S,
    ),
    moderation=_MODEL.elsewhere(
        "The moderation endpoint",
        environment.text("INTERLOCK_MODERATION_URL"),
        environment.text("INTERLOCK_MODERATION_KEY"),
        model=environment.text("INTERLOCK_MODERATION_MODEL", "interlock-moderation"),
        timeout_s=_SCORER_TIMEOUT_S,
    ),
    judge=_MODEL.elsewhere(
        "The judge",
        environment.text("INTERLOCK_JUDGE_URL"),
        environment.text("INTERLOCK_JUDGE_KEY"),
        model=environment.text("INTERLOCK_JUDGE_MODEL")
        or environment.text("OPENAI_MODEL", "interlock-demo"),
        timeout_s=environment.amount("INTERLOCK_JUDGE_TIMEOUT_S", 20),
    ),
    dimensions=environment.count("INTERLOCK_EMBEDDINGS_DIMENSIONS", 384),
)

# What models, logs and the index never see of what people write.
MASKING = MaskingSettings(
    types=environment.words(
        "INTERLOCK_MASKED_TYPES",
        ("card", "iban", "phone", "email", "ip", "ssn", "national_id", "secret"),
    ),
    regions=environment.words("INTERLOCK_MASKED_REGIONS", ()),
    secret=PSEUDONYM_SECRET.encode(),
)

# Without a server, mails wait.
MAIL_SERVER = environment.mail_server(
    "INTERLOCK_MAIL_URL", sender=environment.text("INTERLOCK_MAIL_FROM")
)

CHANNEL_LAYERS = {
    "default": {
        "BACKEND": "controlplane.pushes.PushLayer",
        "CONFIG": {
            "hosts": [{"address": REDIS_URL, "socket_connect_timeout": 1}],
            "prefix": "interlock",
        },
    },
}

AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]
# Signing in: allauth's views, as controlplane/accounts/ mounts and bounds them.
AUTHENTICATION_BACKENDS = ["allauth.account.auth_backends.AuthenticationBackend"]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "home:index"
LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_ADAPTER = "controlplane.accounts.adapters.AccountAdapter"
ACCOUNT_LOGIN_METHODS = {"username"}
ACCOUNT_SIGNUP_FIELDS = ["username*", "password1*"]  # nobody signs up
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_FORMS = {
    "login": "controlplane.accounts.sign_in_forms.SignInForm",
    "reauthenticate": "controlplane.accounts.sign_in_forms.PasswordAgainForm",
    "change_password": "controlplane.accounts.sign_in_forms.ChangePasswordForm",
    "set_password": "controlplane.accounts.sign_in_forms.SetPasswordForm",
}
ACCOUNT_SESSION_REMEMBER = True
ACCOUNT_REAUTHENTICATION_METHODS = ["password", "mfa"]
ACCOUNT_REAUTHENTICATION_TIMEOUT = 300
# Asked by the table of who may do what, which knows also our own routes.
ACCOUNT_REAUTHENTICATION_REQUIRED = MFA_REAUTHENTICATION_REQUIRED = False
ACCOUNT_RATE_LIMITS = MFA_RATE_LIMITS = False  # controlplane/accounts/attempts.py
ALLAUTH_TRUSTED_PROXY_COUNT = environment.count("INTERLOCK_TRUSTED_PROXIES", 0)
MFA_ADAPTER = "controlplane.accounts.adapters.MFAAdapter"
MFA_FORMS = {
    name: f"controlplane.accounts.sign_in_forms.{form}"
    for name, form in {
        "authenticate": "CodeForm",
        "reauthenticate": "CodeAgainForm",
        "activate_totp": "NewAppForm",
        "login_webauthn": "PasskeySignInForm",
        "authenticate_webauthn": "PasskeyForm",
        "reauthenticate_webauthn": "PasskeyAgainForm",
        "add_webauthn": "NewPasskeyForm",
        "edit_webauthn": "PasskeyNameForm",
    }.items()
}
MFA_SUPPORTED_TYPES = ["totp", "webauthn", "recovery_codes"]
MFA_PASSKEY_LOGIN_ENABLED = True
MFA_RECOVERY_CODES_SHOW_ONCE = True
MFA_ALLOW_UNVERIFIED_EMAIL = True  # addresses are for administrators, none is proven
MFA_TOTP_ISSUER = "Interlock"
MFA_TOTP_TOLERANCE = 1  # periods of 30 s by which a telephone's clock may be off
SOCIALACCOUNT_ADAPTER = "controlplane.accounts.sso.SsoAdapter"
SOCIALACCOUNT_LOGIN_ON_GET = True  # a form may not lead to another host
SOCIALACCOUNT_PROVIDERS = environment.openid_connect(
    environment.text("INTERLOCK_OIDC_URL"),
    client_id=environment.text("INTERLOCK_OIDC_CLIENT_ID"),
    secret=environment.text("INTERLOCK_OIDC_CLIENT_SECRET"),
    label=environment.text("INTERLOCK_OIDC_LABEL", "single sign-on"),
    verified_domains=environment.names("INTERLOCK_OIDC_VERIFIED_DOMAINS"),
    is_https_needed=not DEBUG,
)
SECOND_FACTOR_ROLES = environment.names(
    "INTERLOCK_SECOND_FACTOR_ROLES", "" if DEBUG else "admin,lead"
)
# Which codes were used. Not in Valkey, without which people must be able to sign in.
CACHES = {
    "default": {
        "BACKEND": "django.core.cache.backends.db.DatabaseCache",
        "LOCATION": "accounts_cache",
        "OPTIONS": {"MAX_ENTRIES": 10_000},
    }
}

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_I18N = True
USE_TZ = True

STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "static"]
STATIC_ROOT = BASE_DIR / "staticfiles"
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = True  # the widget's script is embedded by other pages

SECURE_REFERRER_POLICY = "same-origin"
SESSION_COOKIE_HTTPONLY = CSRF_COOKIE_HTTPONLY = True
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = not DEBUG
# Browsers take a cookie of such a name from this host alone, and over HTTPS alone.
SESSION_COOKIE_NAME = "sessionid" if DEBUG else "__Host-sessionid"
CSRF_COOKIE_NAME = "csrftoken" if DEBUG else "__Host-csrftoken"
# A session ends after a working day, and sooner where nobody does anything: controlplane/idle.py.
SESSION_COOKIE_AGE = 3600 * environment.count("INTERLOCK_SESSION_HOURS", 12)
SESSION_IDLE_S = 60 * environment.count("INTERLOCK_SESSION_IDLE_MINUTES", 60)
SECURE_SSL_REDIRECT = not DEBUG and environment.flag("INTERLOCK_HTTPS", default=True)
SECURE_REDIRECT_EXEMPT = ["^(healthz|readyz|metrics)$"]
SECURE_HSTS_SECONDS = 0 if DEBUG else 31_536_000
SECURE_HSTS_INCLUDE_SUBDOMAINS = SECURE_HSTS_PRELOAD = not DEBUG
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")

# What a request may be; the server itself (controlplane/web.py) refuses a larger body before it is read.
BODY_MAX_BYTES = 1_000_000
DATA_UPLOAD_MAX_MEMORY_SIZE = BODY_MAX_BYTES
DATA_UPLOAD_MAX_NUMBER_FIELDS = 10_000  # a rule has a field for each of its cases
DATA_UPLOAD_MAX_NUMBER_FILES = 0  # no form of ours takes files
FILE_UPLOAD_HANDLERS = ["django.core.files.uploadhandler.MemoryFileUploadHandler"]
# Whether nobody but us can listen to, or answer for, the backing services.
TRUSTED_NETWORK = environment.flag("INTERLOCK_TRUSTED_NETWORK", default=False)

# Chat
# The demo page gives anybody a token, so it is for trying the product.
DEMO = environment.flag("INTERLOCK_DEMO", default=DEBUG)
KNOWLEDGE_PATH = environment.text(
    "INTERLOCK_KNOWLEDGE",
    str(BASE_DIR / "controlplane/embedded/knowledge/dealer.md"),
)
MESSAGE_MAX_BYTES = 8_192
MESSAGES_PER_MINUTE = int(environment.number("INTERLOCK_MESSAGES_PER_MINUTE", 60))
API_REQUESTS_PER_MINUTE = environment.count("INTERLOCK_API_REQUESTS_PER_MINUTE", 600)
CONFIRM_TIMEOUT_S = environment.number("INTERLOCK_CONFIRM_TIMEOUT_S", 5)
TURN_DEADLINE_S = environment.number("INTERLOCK_TURN_DEADLINE_S", 120)
APPROVAL_DEADLINE_S = environment.number("INTERLOCK_APPROVAL_DEADLINE_S", 900)
WIDGET_TOKEN_HOURS = 12

# What the control room calls wrong: more than this, not as much as this.
ALERT_LAG_RECORDS = environment.count("INTERLOCK_ALERT_LAG_RECORDS", 10_000)
ALERT_OLDEST_TURN_S = environment.amount("INTERLOCK_ALERT_OLDEST_TURN_S", 60)
ALERT_RESTARTS_PER_HOUR = environment.count("INTERLOCK_ALERT_RESTARTS_PER_HOUR", 3)
ALERT_DEAD_LETTERS_PER_MINUTE = environment.amount(
    "INTERLOCK_ALERT_DEAD_LETTERS_PER_MINUTE", 1
)

CELERY_BROKER_URL = REDIS_URL
CELERY_BROKER_CONNECTION_MAX_RETRIES = None  # the default of 100 ends the worker
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_TASK_IGNORE_RESULT = True
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_WORKER_REDIRECT_STDOUTS = False
CELERY_BEAT_SCHEDULE = {
    "sweep-overdue-turns": {"task": "chat.sweep_overdue_turns", "schedule": 5.0},
    "queue-corrections": {"task": "chat.queue_corrections", "schedule": 2.0},
    "work-off-dead-letters": {"task": "deadletters.run_jobs", "schedule": 2.0},
    "work-on-backtests": {"task": "backtests.run", "schedule": 1.0},
    "work-on-evaluations": {"task": "evaluations.run", "schedule": 2.0},
    "forget-old-backtests": {"task": "backtests.forget_old", "schedule": 3600.0},
    "forget-old-evaluations": {"task": "evaluations.forget_old", "schedule": 3600.0},
    "forget-expired": {"task": "accounts.forget_expired", "schedule": 3600.0},
    "forget-kept-answers": {"task": "api.forget_answers", "schedule": 3600.0},
    "create-trace-partitions": {
        "task": "traces.create_partitions",
        "schedule": 3600.0,
    },
}

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {
        "plain": {
            "()": "controlplane.logs.Formatter",
            "format": "%(asctime)s %(levelname)s %(name)s %(message)s",
        }
    },
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "plain"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
structlog.configure(
    processors=[
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso"),
        structlog.processors.format_exc_info,
        hide_personal_data,
        structlog.processors.JSONRenderer(),
    ],
    logger_factory=structlog.WriteLoggerFactory(sys.stderr),
)
