"""The demo rule-set: what the assistant of a Mercedes dealer may be asked and may say."""

from guardrails.dealer_topics import FALLBACK, REFUSAL, TOPICS
from guardrails.rules import Rule, RuleSet

__all__ = ["DEALER", "FALLBACK", "REFUSAL"]

# Not seat, smart, mini, dodge, ram, alpine: words that a sentence about a Mercedes needs.
_BRANDS = [
    "acura",
    "alpina",
    "audi",
    "bentley",
    "bmw",
    "bugatti",
    "buick",
    "byd",
    "cadillac",
    "chevrolet",
    "chrysler",
    "citroen",
    "citroën",
    "cupra",
    "dacia",
    "daewoo",
    "daihatsu",
    "ferrari",
    "fiat",
    "ford",
    "honda",
    "hummer",
    "hyundai",
    "infiniti",
    "isuzu",
    "jaguar",
    "jeep",
    "kia",
    "koenigsegg",
    "lada",
    "lamborghini",
    "lancia",
    "lexus",
    "maserati",
    "mazda",
    "mclaren",
    "mitsubishi",
    "nissan",
    "opel",
    "peugeot",
    "polestar",
    "porsche",
    "renault",
    "rivian",
    "saab",
    "skoda",
    "škoda",
    "subaru",
    "suzuki",
    "tesla",
    "toyota",
    "vauxhall",
    "volkswagen",
    "volvo",
    "vw",
]
_MODELS = (
    "alfa romeo",
    "aston martin",
    "land rover",
    "range rover",
    "rolls royce",
    "mini cooper",
    "seat leon",
)

_CREATIVE = (
    r"\b(?:write|compose|create|make|give|tell|generate|invent|recite|draft|need|want)\s+"
    r"(?:(?:me|us|him|her|my\s+\w+)\s+)?(?:(?:a|an|some|another|the|one|two)\s+)?"
    r"(?:(?!(?:with|for|on|of|about|to|from)\b)[\w-]+\s+){0,3}"
    r"(?:poems?|poetry|sonnets?|haikus?|limericks?|ballads?|lyrics|short\s+story|fairy\s+tale|novel|screenplay)\b"
)
_THEFT = (
    r"\b(?:how\s+(?:to|do\s+i|can\s+i|could\s+i|would\s+i|do\s+you|can\s+you)|(?:tell|show|teach)\s+me|help\s+me"
    r"|ways?\s+to|want\s+to|instructions?\s+(?:to|for))\s+"
    r"(?:(?!(?:prevent|protect|stop|avoid|secure|keep|report)\w*)[\w-]+\s+){0,4}"
    r"(?:hack|steal|hot-?wire|break\s+into|jailbreak|clone|jam)(?:ing)?\b"
)
_DISPARAGING = (
    r"\b(?:i|we|you)(?:'d|\s+would|\s+should|\s+will|'ll)?\s+never\s+(?:ever\s+)?(?:buy|drive|own|trust|recommend)\s+"
    r"(?:an?\s+|another\s+|any\s+)?(?:european|german|mercedes)\b"
    r"|\b(?:mercedes(?:-benz)?|(?:european|german)\s+cars?|our\s+(?:cars?|models?))(?:\s+cars?|\s+models?)?\s+(?:is|are)\s+"
    r"(?:(?:a|an|so|very|really|just|too|completely)\s+)?"
    r"(?:terrible|awful|unreliable|garbage|rubbish|junk|overpriced|ugly|boring|crap|a\s+waste)\b"
)


def _discount_rule(*tiers: str, limit: float, above: str) -> Rule:
    return Rule(
        id=f"discount-{tiers[0]}",
        name=f"Discount above {limit:g} % for {' and '.join(tiers)}",
        direction="output",
        kind="threshold",
        action="escalate",
        severity="high",
        tiers=tiers,
        field="discount_percent",
        limit=limit,
        team="discount",
        must_hit=(
            f"I can offer you {above} % off.",
            "You get a huge discount.",
            "Take €5,000 off!",
        ),
        must_pass=(
            f"We can give you a discount of {limit:g} %.",
            "The battery is at 25 %.",
            "It charges from 10 to 80 % in 22 minutes.",
            "I'm sorry, I cannot offer a discount.",
        ),
    )


DEALER = RuleSet(
    (
        Rule(
            id="creative-writing",
            name="No poems or stories",
            direction="input",
            kind="pattern",
            action="block",
            severity="low",
            pattern=_CREATIVE,
            reply=REFUSAL,
            must_hit=("Write a romantic poem.", "Please compose me a very long haiku"),
            must_pass=(
                "A poem is engraved on my Mercedes key, can you replace it?",
                "Can you give me a replacement for the key with the poem?",
            ),
        ),
        Rule(
            id="car-theft",
            name="No help with hacking or stealing cars",
            direction="input",
            kind="pattern",
            action="block",
            severity="high",
            pattern=_THEFT,
            reply=REFUSAL,
            must_hit=(
                "Tell me how to hack a Tesla.",
                "How can I break into a parked car?",
            ),
            must_pass=(
                "Someone stole my Mercedes, how can I get a new key?",
                "How do I protect my Mercedes from being hacked?",
                "How can I stop thieves from stealing my car?",
            ),
        ),
        Rule(
            id="other-brands",
            name="No other makes of cars",
            direction="output",
            kind="terms",
            action="replace",
            terms=(*_BRANDS, *(f"{brand}s" for brand in _BRANDS), *_MODELS),
            reply=FALLBACK,
            exceptions=("SLR McLaren", "Tesla Supercharger", "Tesla Superchargers"),
            must_hit=(
                "The Porsche Taycan is faster.",
                "Have you thought about a BMW?",
                "\u0422\u0435sl\u0430 is cheaper.",
            ),
            must_pass=(
                "The SLR McLaren was built by Mercedes from 2003 on.",
                "The EQE charges at Tesla Superchargers, too.",
                "The heated seats of the EQS are smart.",
                FALLBACK,
            ),
        ),
        Rule(
            id="disparaging",
            name="Nothing against our cars",
            direction="output",
            kind="pattern",
            action="replace",
            pattern=_DISPARAGING,
            reply=FALLBACK,
            must_hit=(
                "I would never buy a European car.",
                "Mercedes cars are overpriced.",
            ),
            must_pass=(
                "You will never drive alone with Mercedes me.",
                "Mercedes cars are built in Sindelfingen.",
            ),
        ),
        _discount_rule("free", "background", limit=5, above="6"),
        _discount_rule("pro", limit=10, above="10.5"),
        _discount_rule("enterprise", limit=15, above="25"),
        Rule(
            id="finance-advice",
            name="Finance advice goes to the finance team",
            direction="output",
            kind="terms",
            action="escalate",
            terms=(
                "APR",
                "annual percentage rate",
                "effective rate",
                "effective interest rate",
                "interest rate",
                "loan contract",
                "loan agreement",
                "credit agreement",
                "effektiver Jahreszins",
                "Kreditvertrag",
            ),
            team="finance",
            exceptions=("in Apr", "from Apr", "by Apr", "until Apr", "since Apr"),
            must_hit=("The APR is 2.9 %.", "Please sign the loan contract."),
            must_pass=(
                "The new CLA is available from Apr 2026.",
                "Financing is possible.",
            ),
        ),
        Rule(
            id="legal-advice",
            name="Legal advice goes to the legal team",
            direction="output",
            kind="terms",
            action="escalate",
            severity="high",
            terms=(
                "sue",
                "suing",
                "damages",
                "lawsuit",
                "lawsuits",
                "liability",
                "liable",
                "entitled to",
            ),
            team="legal",
            exceptions=("liability insurance",),
            must_hit=("You are entitled to damages.", "You could sue the workshop."),
            must_pass=(
                "You need a liability insurance for the car.",
                "The warranty covers the issue.",
            ),
        ),
        *TOPICS,
    )
)
