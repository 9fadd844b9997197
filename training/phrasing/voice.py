"""How one teller speaks: numbers, tense, pronouns, and what the sentence before allows to leave out."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from random import Random

from training.families.writing import NAMES, NUMBER_WORDS
from training.phrasing.assemble import Clause, Lean

MEN = frozenset(
    "Adam Amir Ben Carl Dan Eli Finn Fred Hugo Ivan Jack John Leo Lucas Max Noah Omar Paul Peter Sam "
    "Theo Tom".split()
)
PRONOUNS = {name: "he" if name in MEN else "she" for name in NAMES}
OBJECTS = {"he": "him", "she": "her", "they": "them"}
WORDS = NUMBER_WORDS | {20: "twenty"}

# A verb in the third person: with "they", in the past, in the past with "they".
VERBS = {
    "buys": ("buy", "bought", "bought"),
    "doubles": ("double", "doubled", "doubled"),
    "eats": ("eat", "ate", "ate"),
    "ends": ("end", "ended", "ended"),
    "finds": ("find", "found", "found"),
    "gets": ("get", "got", "got"),
    "gives": ("give", "gave", "gave"),
    "hands": ("hand", "handed", "handed"),
    "has": ("have", "had", "had"),
    "is": ("are", "was", "were"),
    "loses": ("lose", "lost", "lost"),
    "owns": ("own", "owned", "owned"),
    "pays": ("pay", "paid", "paid"),
    "receives": ("receive", "received", "received"),
    "sells": ("sell", "sold", "sold"),
    "spends": ("spend", "spent", "spent"),
    "starts": ("start", "started", "started"),
    "takes": ("take", "took", "took"),
    "triples": ("triple", "tripled", "tripled"),
}


class Voice:
    """One problem's teller.

    people: everybody the problem's facts and question name. past: whether it is told in the past tense.
    """

    def __init__(self, rng: Random) -> None:
        self.rng = rng
        self.people: frozenset[str] = frozenset()
        self.past = False
        self.fond = rng.choice((0.2, 0.5, 0.8))  # of pronouns and of leaving out
        self.spelled = rng.choice((0.0, 0.0, 0.3, 1.0))  # how many numbers are words
        self.neutral = rng.random() < 0.05  # "they" for the only person
        self.last: Clause | None = None
        self.told: set[str] = set()  # subjects of sentences so far

    def chance(self, share: float) -> bool:
        return self.rng.random() < share

    def pick(self, *options: str) -> str:
        return self.rng.choice(options)

    def number(self, value: int) -> str:
        """In digits, or as a word where it has one: up to twelve, and twenty."""
        return WORDS[value] if value in WORDS and self.chance(self.spelled) else str(value)

    def times(self, factor: int) -> str:
        """A factor: "twice", "three times"."""
        return "twice" if factor == 2 and self.chance(0.8) else f"{self.number(factor)} times"

    def listed(self, names: Sequence[str], link: str = "and") -> str:
        *others, last = names
        return f"{', '.join(others)} {link} {last}" if others else last

    def pronoun(self, name: str) -> str:
        return "they" if self.neutral and self.people == {name} else PRONOUNS[name]

    def clear(self, name: str, among: Iterable[str]) -> bool:
        """Whether a pronoun for this person could mean nobody else among these."""
        return all(other == name or PRONOUNS[other] != PRONOUNS[name] for other in among)

    def refers(self, name: str) -> bool:
        """Whether a pronoun for this person would be understood now."""
        if self.last is None:
            return False
        if self.people == {name}:
            return name in self.last.people
        return self.last.subject == name and self.clear(name, self.last.people)

    def conjugate(self, predicate: str, *, plural: bool) -> str:
        """A predicate that starts with a verb in the third person, in the teller's tense."""
        verb, _, rest = predicate.partition(" ")
        many, past, past_many = VERBS[verb]
        word = (past_many if plural else past) if self.past else many if plural else verb
        return f"{word} {rest}"

    def person(self, name: str) -> tuple[str, Lean]:
        """A person as a subject, and what that leans on."""
        if self.refers(name) and self.chance(self.fond):
            return self.pronoun(name), "pronoun"
        return name, ""

    def object(self, name: str) -> tuple[str, Lean]:
        """A person as an object, and what that leans on: "him"."""
        if self.refers(name) and self.chance(self.fond * 0.4):
            return OBJECTS[self.pronoun(name)], "pronoun"
        return name, ""

    def tell(
        self,
        name: str,
        predicate: str,
        *,
        others: Iterable[str] = (),
        lead: str = "",
        lean: Lean = "",
        state: bool = False,
    ) -> Clause:
        """A sentence about a person. predicate: starts with a verb of VERBS; others: whom else it names."""
        leans: Lean
        said, leans = (name, lean) if lean == "pronoun" else self.person(name)
        rest = self.conjugate(predicate, plural=said == "they")
        clause = Clause(
            said=said,
            rest=rest,
            subject=name,
            people=frozenset((name, *others)) & self.people,
            lead=lead,
            lean=lean or leans,
            state=state,
        )
        return self.keep(clause)

    def keep(self, clause: Clause) -> Clause:
        """The sentence, remembered as the one before."""
        self.last = clause
        self.told.add(clause.subject)
        return clause

    def does(self, said: str) -> str:
        """The subject behind its auxiliary: "does Anna", "do they", "did she"."""
        return f"{'did' if self.past else 'do' if said == 'they' else 'does'} {said}"
