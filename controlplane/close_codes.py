"""With what code a websocket is closed. Daphne sends none below 3000 but 1000."""

UNAUTHORIZED = 4401
FORBIDDEN = 4403
# The queue page's hx-config has it among the codes after which it connects again.
TRY_AGAIN = 4503
