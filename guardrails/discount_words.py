"""The words by which a discount is known, in normalised English and German."""

import re


def _words(*words: str) -> re.Pattern[str]:
    return re.compile(rf"\b(?:{'|'.join(words)})")


# Each says by itself that a price goes down: without a number it is a discount that cannot be read.
# Not from a word's start: Barzahlungsrabatt, Preisnachlass.
NOUN = re.compile(
    r"discount(?!enance)|\brebate|rabatt|nachlass|nachlässe|\bskonto|\brabais\b|\bréductions?\b|\bdescuento|\bsconto\b|\bkorting"
    r"|\bprice[\s-](?:cut|drop|reduction)|\breductions? (?:in|of|on|off) (?:the |your |our |its )?(?:\w+ )?price"
    r"|\bpreis(?:senkung|reduzierung)"
    r"|\boff (?:the |your |our |its |that |this )?(?:\w+ ){0,2}(?:price|total|msrp|rrp|invoice|bill)\b"
    r"|\b(?:knock|shave|slash|lop|something|money|a bit|a little|a lot)(?:ed|ing)? (?:[a-z'-]+ ){0,4}off\b"
)

# "off" takes hold of a number of its own clause, unless it is about roads and switches.
OFF = re.compile(r"\boff\b(?![\s-]?road)(?!-)|(?<!\S)-\d{1,2}(?:[.,]\d{1,2})?\s?%")
OFF_OTHERWISE = re.compile(
    r"\b(?:switch|turn|shut|power|log|set|lift|drive|cuts?)(?:es|s|ed|ing)?[\s-](?:it |them |itself )?off\b"
)

# These say that something goes down: a price, unless the clause is about something else.
LESS = _words(
    r"less\b(?! than)",
    r"minus\b",
    r"below (?:the )?(?:list|msrp|price|regular)",
    r"(?:cheap|low)er\b",
    r"reduc(?:e|ed|es|ing|tions?)\b",
    r"sav(?:e|es|ed|ing|ings)\b",
    r"(?:deduct|subtract|knock|slash|shav|decreas)\w{0,4}\b",
    r"drop(?:s|ped|ping)?\b",
    r"(?:go|goes|went|come|comes|came|bring|mark|marked) (?:\w+ ){0,3}down\b",
    r"(?:bonus|cash-?back|incentive|concession|goodwill)\b",
    r"(?:günstig|billig)er",
    r"weniger\b",
    r"reduzier",
    r"senk(?:e|en|t)\b",
    r"gesenkt",
    r"(?:er)?spar(?:en|nis|t|st)\b",
    r"prämie",
)
PRICE = _words(
    r"(?:list )?pric(?:e|es|ed|ing)\b",
    r"costs?\b",
    r"pays?\b",
    "msrp",
    "invoice",
    r"\w{0,12}preis",
    "zahl",
)
PRICE_SIGN = re.compile(r"[€$£]|\beur\b")
TOPIC = _words(
    "batter",
    "charg",
    "energy",
    "fuel",
    "consum",
    "emi(?:t|ss)",
    r"co2?\b",
    "drag",
    "weigh",
    r"(?:light|heavi|quiet|loud)er\b",
    "noise",
    "rang",
    r"power\b",
    "torque",
    "speed",
    "friction",
    "resist",
    r"times?\b",
    "minute",
    "wear",
    "capacit",
    "humid",
    "gradient",
    "residual",
    "deprecia",
    r"values?\b",
    r"deposit",
    r"down payment",
    r"tax",
    "vat",
    "interest",
    "akku",
    "lade",
    "verbrauch",
    "kraftstoff",
    "energie",
    "emission",
    "gewicht",
    "reichweite",
    "strom",
    "anzahlung",
    "restwert",
    "steuer",
)

# A percentage of one of these is none of the price, even beside a discount.
_RATES = (
    r"(?:apr|vat|interest|financing|finance|taxe?s?|mwst|mehrwertsteuer|umsatzsteuer|zins\w{0,6}|(?:effektiv)?jahreszins"
    r"|annual|effective|deposit|down payment|anzahlung|finanzierung)\b"
)
RATE_AFTER = re.compile(
    rf"\s?(?:(?!off\b|discount|rebate|rabatt|less\b)[a-z-]{{1,15}}\s)?{_RATES}"
    r"(?!\s(?:free\s)?(?:discount|off\b|rebate|rabatt|nachlass|reduction))"
)
RATE_BEFORE = re.compile(rf"\b{_RATES}\s(?:rate\s)?(?:of\s|von\s|is\s|at\s|:\s)?$")

_MAY = (
    r"offer(?:ing)?|give|grant|provide|promise|have|make|apply|currently|any|an?|the|you|further|additional|extra|such"
    r"|other|special|authori[sz]ed|allowed|able|permitted|to|discuss|negotiate|confirm|quote|is|are|there|available"
    r"|ihnen|leider|einen?|weiteren?|zusätzlichen?|aktuell|derzeit"
)
_NOT = r"no|not|cannot|can't|unable|don't|doesn't|won't|couldn't|aren't|isn't|never|without|kein(?:e|en|er)?|ohne|nicht"
_NOUNS = r"(?:price[\s-])?(?:discounts?|rebates?|reductions?|\w{0,12}rabatte?|\w{0,8}nachl[aä]sse?|skonto)"
DENIAL = re.compile(
    rf"\b(?:{_NOT})\s(?:(?:{_MAY})\s){{0,6}}{_NOUNS}\b"
    rf"|\b{_NOUNS}\s(?:is|are|ist|sind)\s(?:leider\s|currently\s)?(?:not|nicht)\s(?:available|possible|möglich)"
)
UNLESS = _words(
    r"unless\b",
    r"except",
    r"only\b",
    r"until\b",
    r"more\b",
    r"ausser\b",
    r"nur\b",
    r"beyond\b",
)
MODEL = re.compile(r"\b(?:[b-z]|[a-z]{2,3})[\s-]?\d{3}[a-z]{0,2}\b")

# Between or just before two sums: the second is what the first became, or the first is asked instead of the second.
NOW = _words(
    r"now\b",
    r"(?:down|reduced|lowered|dropped) to\b",
    r"for you\b",
    r"(?:special|our|your) price\b",
    r"yours for\b",
    r"jetzt\b",
    r"für sie\b",
)
INSTEAD = _words(
    r"instead of\b",
    r"(?:down|reduced) from\b",
    r"rather than\b",
    r"was\b",
    r"statt\b",
    r"anstatt\b",
)

SUM_OFF = re.compile(
    r"\s(?:[a-z]{1,12}\s){0,2}"
    r"(?:off\b|discount|rebate|reduction|rabatt|\w{0,8}nachlass|günstiger|billiger|weniger\b(?! als)"
    r"|(?:less|cheaper)\b(?! than\b(?! (?:the )?(?:(?:list|original|regular|normal|usual) )?price)))"
)
OFF_SUM = re.compile(
    r"(?:discount|rebate|reduc\w{0,5}|rabatt|nachlass|sav(?:e|es|ing)|knock|deduct|slash|cut|take|lower)"
    r"(?:\s(?:you|it|off|the price|of|von|by|um|worth|up to|in höhe von|is|about)|:){0,3}\s$"
)
BARE_OFF = re.compile(
    r"(?:(?<!\d)\d[\d.,]{0,12}k?|\b(?:thousand|hundred|grand|tausend|euros?|dollars?|pounds?))"
    r"\s(?:\w{1,10}\s)?off\b(?![\s-]?road)"
)

SHARE_OFF = re.compile(
    r"[\s-](?:right\s|straight\s|of\s)?(?:off\b|discount|rebate|reduction|cheaper|less\b|günstiger|billiger|weniger|rabatt"
    r"|nachlass)"
)
HALF_PRICE = re.compile(
    r"[\s-](?:of\s)?(?:the\s|its\s|des\s)?(?:\w{0,6}price|\w{0,6}preis)"
)
OFF_SHARE = re.compile(
    r"(?:discount|rebate|reduc\w{0,5}|rabatt|nachlass|cut|slash\w{0,3}|lower\w{0,3}|drop\w{0,4}|gesenkt|reduziert)"
    r"(?:\s(?:the|its|our|price|of|by|von|um)){0,3}\s$"
)
PAY_SHARE = re.compile(r"\b(?:pay|pays|yours for|get it for|have it for|zahlen)\b")
OF_PRICE = re.compile(
    r"\s?(?:of|des|vom) (?:the |its |our )?(?:\w{1,10} )?(?:price|msrp|\w{0,8}preis)"
)

FROM_TO = re.compile(r"\b(?:from|to|auf|von)\s$")
FURTHER = _words(
    r"another\b",
    "additional",
    r"extra\b",
    r"further\b",
    r"on top\b",
    r"plus\b",
    "zusätzlich",
    "weitere",
)
