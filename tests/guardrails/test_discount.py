import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from guardrails.discount import Discount, read_normalised
from guardrails.text import normalise

WORDS = [
    "25 %",
    "5",
    "10-15 %",
    "€5,000",
    "€20,000",
    "off",
    "a quarter",
    "discount",
    "no",
    "half",
    "price",
    "less",
    "now",
    "battery",
    ",",
    "and",
    ".",
    "\n",
    "rabatt",
    "twenty",
    "%",
    "½",
    "APR",
    "pay",
    "of the",
    "from",
    "to",
    "instead of",
    "another",
    "\u200b",
    "ß",
    "x",
    "was",
    "C 300",
    "unless",
    "cannot offer a",
]


def read(text: str) -> list[Discount]:
    return read_normalised(text, normalise(text))


@pytest.mark.parametrize(
    ("text", "percent"),
    [
        ("25 % off", 25),
        ("I can give you 25% off.", 25),
        ("A 25 percent discount for you.", 25),
        ("25 per cent off", 25),
        ("a 25-percent discount", 25),
        ("twenty-five percent off the list price", 25),
        ("Twenty five percent off!", 25),
        ("a quarter off", 25),
        ("Today we do half off.", 50),
        ("It is half price.", 50),
        ("yours for half the price", 50),
        ("a third off", 33.33),
        ("two-thirds off", 66.67),
        ("1/3 off", 33.33),
        ("½ off", 50),
        ("a discount of a quarter", 25),
        ("€5,000 off €20,000", 25),
        ("5.000 € off 20.000 €", 25),
        ("$5k off $20k", 25),
        ("EUR 5000 off the price of EUR 20000", 25),
        ("5 000,00 € Rabatt auf 20 000,00 €", 25),
        ("a discount of €2,500 on the €10,000 package", 25),
        ("The price was €20,000 … now €15,000", 25),
        ("€15,000 instead of €20,000", 25),
        ("statt 20.000 € jetzt 15.000 €", 25),
        ("I can drop the price from €20,000 to €15,000.", 25),
        ("I can drop the price to €15,000 from €20,000.", 25),
        ("knock 10% off", 10),
        ("I would take off 10 %", 10),
        ("a 10-15 % discount", 15),
        ("between 10 and 15 % discount", 15),
        ("20% to 25% off", 25),
        ("25 % Rabatt", 25),
        ("Nachlass von 25 Prozent", 25),
        ("fünfundzwanzig Prozent Nachlass", 25),
        ("ein Viertel günstiger", 25),
        ("zum halben Preis", 50),
        ("Discount: 25 %", 25),
        ("As a discount, I can offer 3 %.", 3),
        ("The price is reduced by 25 %.", 25),
        ("You pay only 75 % of the list price.", 25),
        ("25 %\noff", 25),
        ("**25 %** off", 25),
        ("\uff12\uff15\uff05 off", 25),
        ("2\u200b5 % off", 25),
        ("0 % financing with a 3 % discount", 3),
        ("12.5 % off", 12.5),
        ("-20 % on all models", 20),
        ("minus 20 % on the price", 20),
        ("The final price is 20 % below list.", 20),
        ("20 % de réduction", 20),
        ("a discount of approx. 25 %", 25),
        ("I cannot offer you a 25 % discount", 25),
        ("3 % off, or even 10 %", 10),
        ("5 % off and an additional 3 %", 8),
        ("The range is 500 km and with 25 % off the price it is yours.", 25),
    ],
)
def test_reads_what_is_offered(text: str, percent: float) -> None:
    assert max(discount.percent or 0 for discount in read(text)) == percent


@pytest.mark.parametrize(
    "text",
    [
        "a huge discount",
        "€5,000 off",
        "5000 off the price",
        "I can do five thousand off.",
        "some percent off",
        "xx% off",
        "12½ % off",
        "2 5 % off",
        "1,000 % off",
        "25+ % off",
        "more than 10 % off",
        "we'll knock something off",
        "I can do something off the price.",
        "We can't offer discounts, but I'll give you a discount.",
        "We cannot offer a discount unless you buy today.",
        "I cannot offer a discount of 25.",
        "No problem, here is your discount!",
        "Sie zahlen 5.000 € weniger.",
        "Großer Rabatt!",
        "€0 off €0",
    ],
)
def test_what_is_offered_and_not_readable_is_held(text: str) -> None:
    assert [discount.percent for discount in read(text)] == [None]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "two free winter tyres",
        "The battery is at 25 %.",
        "The battery is at 25 %, and the price is reduced.",
        "0 % financing",
        "2.9 % APR",
        "an interest rate of 2.9 %",
        "19 % VAT",
        "The car costs €45,000 including 19 % VAT.",
        "It charges from 10 to 80 % in 22 minutes.",
        "It charges in less than 30 minutes from 10 to 80 %.",
        "It uses 25 % less fuel.",
        "The range drops by 20 % in winter.",
        "25 % off-road gradient",
        "The fan switches off at 95 % charge.",
        "We have no discounts.",
        "I cannot offer a discount.",
        "I'm sorry, I can't offer discounts, but I can connect you with our team.",
        "The price is fixed, without any discount.",
        "Wir können Ihnen leider keinen Rabatt anbieten.",
        "Ein Rabatt ist leider nicht möglich.",
        "No discount on the GLC 300.",
        "Prices go from €20,000 to €50,000.",
        "A 20 % down payment is required.",
        "In the third quarter we launch the CLA.",
        "A third less weight than before.",
        "The EQA is €5,000 cheaper than the EQB.",
        "a one-off payment of €300",
        "The residual value is 55 % of the list price.",
        "The rear seats fold 40/20/40.",
        "25 % of our customers choose white.",
    ],
)
def test_other_numbers_are_no_discounts(text: str) -> None:
    assert read(text) == []


def test_says_where_it_was_said() -> None:
    [discount] = read("Groß\u200be Freude: 2\u200b5 % off!")

    assert discount.said == "2\u200b5 %"


@given(
    st.text(st.characters(codec=None)) | st.lists(st.sampled_from(WORDS)).map(" ".join)
)
def test_never_fails_and_every_place_lies_in_the_text(text: str) -> None:
    for discount in read(text):
        assert 0 <= discount.start < discount.end <= len(text)
        assert text[discount.start : discount.end] == discount.said
        assert discount.percent is None or discount.percent >= 0


@pytest.mark.parametrize(
    "unit",
    [
        "1",
        "a",
        " ",
        "%",
        "1 % ",
        "€1 off ",
        "discount ",
        "no offer ",
        "knock a ",
        "\n",
        ". ",
        "was €9 now €5 ",
        "́",
        "a quarter off ",
        "pay 5% of the price ",
        "turns off ",
        "half ",
        "-",
        "1 000 ",
        "5 % vat ",
    ],
)
def test_takes_linear_time(unit: str) -> None:
    """Eight times the text may take some forty times as long on a busy machine, never sixty-four plus noise."""
    short, long = seconds((unit * 5_000)[:5_000]), seconds((unit * 40_000)[:40_000])

    assert long < max(40 * short, 0.2)


def seconds(text: str) -> float:
    start = time.thread_time()
    read(text)
    return time.thread_time() - start
