"""Two sides in turns, and how their figures are told."""

import os
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field

UNEVEN = 1 / 3


@dataclass(frozen=True)
class Goal:
    """What the ratio ours / limit must be; `at_least` for rates, else at most."""

    bound: float
    at_least: bool

    def met(self, ratio: float) -> bool:
        return ratio >= self.bound if self.at_least else ratio <= self.bound

    def __str__(self) -> str:
        return f"goal {'>=' if self.at_least else '<='} {self.bound:g}"


@dataclass
class Race:
    """One measure and its limit or rival; rates where the goal is `at_least`, else seconds or bytes."""

    title: str
    unit: str
    limit: str
    goal: Goal | None = None
    ours: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)
    rates: bool = True

    def run(self, ours: Callable[[], float], theirs: Callable[[], float], rounds: int) -> "Race":
        """Both sides in every round; who goes first alternates."""
        sides = [(self.ours, ours), (self.theirs, theirs)]
        for number in range(rounds):
            for kept, side in sides if number % 2 == 0 else reversed(sides):
                kept.append(side())
            self.loads.append(os.getloadavg()[0])
        return self

    @property
    def ratios(self) -> list[float]:
        return [mine / their for mine, their in zip(self.ours, self.theirs, strict=True)]

    @property
    def uneven(self) -> bool:
        """Whether the rounds disagree by more than a third."""
        return max(self.ratios) > (1 + UNEVEN) * min(self.ratios)

    def tell(self, *, quick: bool) -> None:
        """Best and median of both sides, ratio of the bests, median of the rounds' ratios."""
        best = max if self.rates else min
        middle = statistics.median(self.ratios)
        print(f"  {self.title}")
        for name, figures in (("ours", self.ours), (self.limit, self.theirs)):
            print(f"    {name:44} best {best(figures):10.4g}  median {statistics.median(figures):10.4g} {self.unit}")
        bests = best(self.ours) / best(self.theirs)
        print(f"    {'ours / limit':44} best {bests:10.3f}  median {middle:10.3f}   {self._verdict(quick)}")
        loads = f"load {min(self.loads):.1f} to {max(self.loads):.1f}" if self.loads else ""
        print(f"    rounds: {' '.join(f'{ratio:.3f}' for ratio in self.ratios)}; {loads}")
        if self.uneven and not quick:
            print("    the rounds disagree by more than a third: repeat on a quieter machine")

    def _verdict(self, quick: bool) -> str:
        if self.goal is None or quick:
            return str(self.goal or "")
        met = sum(map(self.goal.met, self.ratios))
        some = f"met in {met} of {len(self.ratios)} rounds"
        return f"{self.goal}: {'MISSED' if not met else 'met' if met == len(self.ratios) else some}"
