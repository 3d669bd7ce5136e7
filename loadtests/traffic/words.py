"""Vocabulary and sentences: enough variety that two texts are rarely alike, cheap enough for a million of them."""

from random import Random

TOPICS = """
gardening sailing bread bicycles taxes volcanoes jazz chess databases vaccines bridges photography opera beekeeping climate
batteries insurance football knitting astronomy contracts pottery nutrition marathons logistics theatre forests glaciers
privacy compilers mortgages whales typography railways coffee genetics elections museums wetlands robots pensions surgery
fonts tides lighthouses espresso networks lenses patents soil rivers statistics grammar tourism radio hiking cement debt
wolves magnetism sleep orchards satellites encryption parking vineyards tutoring allergies ferries archives recycling
""".split()
NOUNS = """
engine report garden market letter bridge window teacher sample kitchen river contract signal patient camera budget forest
village screen recipe ticket driver lesson harbour pipeline server invoice theory curve meadow schedule battery lantern
journal platform answer question building customer warehouse coast station library factory harvest ceremony passenger
message module package sensor cursor buffer ledger account parcel bakery museum island orchard tunnel valley workshop
committee inspector neighbour musician captain surgeon tenant farmer lawyer plumber clerk pilot editor waiter nurse
""".split()
VERBS = """
improves delays describes carries replaces measures protects connects opens returns follows reaches repairs explains
collects divides supports changes covers reduces strengthens records checks drives holds shapes delivers crosses builds
finds keeps lifts moves needs offers paints questions rejects saves tests updates visits warms yields
""".split()
ADJECTIVES = """
old quiet narrow bright careful early heavy simple broken recent northern modern gentle careless steady hidden formal local
rough smooth large tiny golden empty crowded polite sudden useful fragile curious patient honest public private warm
seasonal digital wooden annual distant familiar rapid shallow
""".split()
NAMES = """
Amara Bjorn Celia Dmitri Elena Farid Greta Hiro Ines Jonas Kavya Liam Mina Noor Otto Priya Quentin Rosa Selma Tariq Uma
Viktor Wanda Ximena Yusuf Zoe Agnes Bruno Clara Diego Esther Felix Gilda Hassan Irma Jamal Kirsten Leo Marta Nils
""".split()
PLACES = """
Lisbon Oslo Nairobi Quito Hanoi Prague Dakar Perth Lima Izmir Turin Gdansk Osaka Denver Cairo Lagos Riga Bergen Malaga
Cork Porto Tampere Graz Leeds Nantes Utrecht Bogota Accra Pune Busan
""".split()
COMPANIES = """
Northwind Bluefin Larkspur Copperhill Tidewater Fernway Quillon Marlowe Sandpiper Ironleaf Brightlane Oakmere Riverton
Palisade Juniper Halcyon Westbrook Corvid Solstice Meridian Tamarind Foxglove Kestrel Driftwood Almanac Harbourside
""".split()
CODE_NOUNS = """
parser queue cache index router handler session token buffer scheduler worker cursor stream adapter payload registry lock
schema migration client socket batch retry timeout config logger iterator graph matrix checksum
""".split()
LANGUAGES = "French German Spanish Portuguese Italian Dutch Polish Swedish Turkish Japanese Korean Finnish".split()

_SHAPES = (
    "The {a} {n} {v} the {n2} near {p}.",
    "In {p}, a {a} {n} {v} what the {n2} left behind.",
    "{m} says that the {n} {v} every {a} {n2}.",
    "Nobody in {p} knew why the {a} {n} {v} the {n2}.",
    "After {k} weeks the {n} {v} a {a} {n2}.",
    "When {t} is discussed, the {a} {n} often {v} the {n2}.",
    "{m} and {m2} agree: a {a} {n} rarely {v} its {n2}.",
    "About {k} percent of {t} depends on the {n} that {v} the {n2}.",
    "Since the {a} {n} {v} the {n2}, {t} has changed in {p}.",
    "For {m}, {t} means that a {n} {v} one {a} {n2}.",
)


def sentence(rng: Random, topic: str = "") -> str:
    pick = rng.choice
    return pick(_SHAPES).format(
        a=pick(ADJECTIVES),
        n=pick(NOUNS),
        v=pick(VERBS),
        n2=pick(NOUNS),
        p=pick(PLACES),
        m=pick(NAMES),
        m2=pick(NAMES),
        k=rng.randrange(2, 99),
        t=topic or pick(TOPICS),
    )


def paragraph(rng: Random, sentences: int, topic: str = "") -> str:
    return " ".join(sentence(rng, topic) for _ in range(sentences))


def code(rng: Random, lines: int) -> str:
    """Something that reads as Python, of about this many lines."""
    pick = rng.choice
    out = [f"def {pick(VERBS)}_{pick(CODE_NOUNS)}({pick(CODE_NOUNS)}, {pick(NOUNS)}={rng.randrange(100)}):"]
    out += [
        pick(
            (
                f"    {pick(CODE_NOUNS)} = {pick(CODE_NOUNS)}.{pick(VERBS)}({pick(NOUNS)}_{pick(NOUNS)})",
                f"    if {pick(CODE_NOUNS)} is None or len({pick(NOUNS)}) > {rng.randrange(512)}:",
                f"        raise ValueError('{pick(ADJECTIVES)} {pick(CODE_NOUNS)}')",
                f"    for {pick(NOUNS)} in {pick(CODE_NOUNS)}.{pick(NOUNS)}s():",
                f"        yield {pick(NOUNS)}.{pick(VERBS)}[{rng.randrange(64)}]",
            )
        )
        for _ in range(lines)
    ]
    return "\n".join(out)
