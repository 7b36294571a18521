"""Samples results of the tiers by the hundred million, and looks that no enclosure is broken and no rounding is wrong.

Run: python tests/soundness.py [--entries 1e8] [--exact 400] [--seed 0] [--losses NAME ...]. An entry is one value or
one slope of a gradient. The fast tier is compared with double-double on all of them: the two enclosures must meet, and
where both decide they must round to the same number. Some rows of every case go to the exact tier too, and both others
are compared with that. Cases are the questions of `containment.py`, some under policies, over every regime, format and
number of classes. A row that breaks something is printed in hex.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import flint
import numpy as np
from containment import OTHERS, QUESTIONS, REGIMES, disagree, question, strays

from lossconform.reference import double_double_losses, fast, tiers
from lossconform.reference.bounds import Bounds, take
from lossconform.reference.canonical import Canonical, canonical
from lossconform.reference.case import Array, Case
from lossconform.reference.enclosure import Enclosure
from lossconform.reference.formats import FORMATS, Format
from lossconform.reference.policy import Policy

CLASSES = (1, 2, 3, 10, 1000, 50_000)

LOGITS = 20_000
"""A case has about so many, or one row."""

READINGS = {
    "divided probabilities": ("probabilities", Policy(probability_sum="renormalised")),
    "divided and clipped probabilities": (
        "smoothed probabilities",
        Policy(probability_sum="renormalised", probability_range="clipped_in_dtype"),
    ),
    "clipped and divided probabilities": (
        "smoothed probabilities",
        Policy(probability_sum="renormalised_last", probability_range="clipped"),
    ),
    "clamped binary probabilities": ("binary probabilities", Policy(probability_range="log_clamped")),
    "clamped focal probabilities": ("focal probabilities", Policy(probability_range="clipped_and_log_clamped")),
}
"""Questions that a policy gives another meaning: which, and the policy."""

EVERY = (*QUESTIONS, *OTHERS, *READINGS)

BROKEN, WRONG = "broken enclosures", "wrong roundings"


@dataclass
class Tally:
    """What was compared, by pair of tiers and place, and what was found."""

    entries: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    found: Counter[str] = field(default_factory=Counter)
    rows: list[str] = field(default_factory=list)

    def pairs(self) -> Counter[str]:
        """Return how many entries each pair of tiers was compared on."""
        counts: Counter[str] = Counter()
        for (pair, _, _), n in self.entries.items():
            counts[pair] += n
        return counts


def compare(outer: Bounds, inner: Bounds, fmt: Format) -> tuple[int, Array, Array]:
    """Return how many entries two tiers both enclose, and the rows where they contradict each other.

    The first mask has the rows with enclosures that do not meet; the second those with different roundings.
    """
    both = outer.covered & inner.covered
    entries, broken, wrong = 0, np.zeros(len(both), bool), np.zeros(len(both), bool)
    for a, b in ((outer.value, inner.value), (outer.gradient, inner.gradient)):
        if a is None or b is None:
            continue
        mine, its = (Enclosure(p.h[both], p.lo[both], p.hi[both]) for p in (a, b))
        entries += mine.h.size
        broken[both] |= strays(mine, its).any(axis=1)
        wrong[both] |= disagree(mine, its, fmt).any(axis=1)
    return entries, broken, wrong


def rows_in_hex(problem: Canonical, mask: Array) -> list[str]:
    """Return some rows of a problem as text that loses nothing."""
    lines = []
    for i in np.flatnonzero(mask)[:4].tolist():
        parts = {"x": problem.x[i], "weight": problem.row_weight[i : i + 1]}
        if problem.base is not None:
            parts["target"] = problem.base[i]
        lines.append(f"row {i}: " + "; ".join(f"{k} = {[float(v).hex() for v in a]}" for k, a in parts.items()))
    return lines


def examine(case: Case, exact_entries: int, place: tuple[str, str], tally: Tally, policy: Policy | None = None) -> None:
    """Compare the tiers on a case, with the exact one on as many rows as have so many entries."""
    problem = canonical(case, policy or Policy())
    found: dict[str, Bounds] = {}
    for name, bounds in (
        ("fast", fast.evaluate(problem)),
        ("careful", fast.evaluate(problem, careful=True) if place[0] == "soft" else None),
        ("double-double", double_double_losses.evaluate(problem)),
    ):
        if bounds is not None:
            found[name] = bounds
    _note(problem, {k: v for k, v in found.items() if k != "double-double"}, "double-double", found, place, tally)
    if exact_entries:
        few = slice(0, max(1, exact_entries // case.classes))
        part = take(problem, few)
        exact = {"exact": tiers.exactly(part, gradient=True)}
        _note(part, {k: _part(v, few) for k, v in found.items()}, "exact", exact, place, tally)


def _note(
    problem: Canonical,
    outer: dict[str, Bounds],
    name: str,
    inner: dict[str, Bounds],
    place: tuple[str, str],
    tally: Tally,
) -> None:
    """Compare each tier with one, and count."""
    if name not in inner:
        return
    for other, bounds in outer.items():
        entries, broken, wrong = compare(bounds, inner[name], problem.case.format)
        tally.entries[(f"{other} with {name}", *place)] += entries
        for what, mask in ((BROKEN, broken), (WRONG, wrong)):
            tally.found[what] += int(mask.sum())
            head = f"{what}: {other} with {name}, {', '.join(place)}, {problem.case.dtype}, C = {problem.shape[1]}"
            tally.rows += [f"{head}, {line}" for line in rows_in_hex(problem, mask)]


def _part(bounds: Bounds, rows: slice) -> Bounds:
    """Return the bounds of some rows."""
    value, gradient = (
        None if p is None else Enclosure(p.h[rows], p.lo[rows], p.hi[rows]) for p in (bounds.value, bounds.gradient)
    )
    assert value is not None
    return Bounds(value, gradient, bounds.covered[rows])


def sample(
    seed: int,
    exact_entries: int,
    tally: Tally,
    classes: tuple[int, ...] = CLASSES,
    losses: Sequence[str] = EVERY,
) -> Iterator[str]:
    """Compare the tiers once on every question, regime, format and number of classes; yield each regime's name."""
    for name in losses:
        asked, policy = READINGS.get(name, (name, Policy()))
        for regime in REGIMES.values():
            for dtype in FORMATS:
                for c in classes:
                    case = question(asked, regime, dtype, c, rows=max(1, LOGITS // c), seed=seed)
                    # A row of 50,000 takes the exact tier a tenth of a second and more.
                    some = exact_entries if c <= 1000 or dtype == "float32" else 0
                    examine(case, some, (name, regime.id), tally, policy)
            yield f"{name}, {regime.id}"


def report(tally: Tally) -> list[str]:
    """Return the counts as lines."""
    pairs = sorted(tally.pairs())
    lines = [f"{'loss':28} {'regime':20}" + "".join(f"{pair:>28}" for pair in pairs)]
    for place in dict.fromkeys((name, regime) for _, name, regime in tally.entries):
        counts = "".join(f"{tally.entries[(pair, *place)]:28,}" for pair in pairs)
        lines.append(f"{place[0]:28} {place[1]:20}{counts}")
    lines.append(f"{'all':49}" + "".join(f"{tally.pairs()[pair]:28,}" for pair in pairs))
    lines += [f"{what}: {tally.found[what]}" for what in (BROKEN, WRONG)]
    return lines


def main() -> int:
    """Sample everything once, then until so many entries are compared; print the counts; return 1 if any is wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=float, default=1e8, help="of the fast tier, compared with double-double")
    parser.add_argument("--exact", type=int, default=400, help="logits of each case that the exact tier gets")
    parser.add_argument("--seed", type=int, default=0, help="of the first round")
    parser.add_argument("--losses", nargs="+", choices=EVERY, default=EVERY)
    given: Any = parser.parse_args()
    tally, start, seed = Tally(), time.perf_counter(), given.seed
    enough = False
    while not enough:
        for place in sample(seed, given.exact, tally, losses=given.losses):
            done = sum(n for pair, n in tally.pairs().items() if pair.endswith("with double-double"))
            enough = done >= given.entries
            found = ", ".join(f"{what}: {tally.found[what]}" for what in (BROKEN, WRONG))
            sys.stderr.write(f"{done:,} entries, {found}; round {seed}: {place}\n")
            if enough and seed > given.seed:
                break
        seed += 1
    lines = [*report(tally), *tally.rows]
    lines.append(f"NumPy {np.__version__}, python-flint {flint.__version__}; seeds {given.seed} to {seed - 1}")
    lines.append(f"{time.perf_counter() - start:.0f} s")
    sys.stdout.write("\n".join(lines) + "\n")
    return 1 if tally.rows else 0


if __name__ == "__main__":
    sys.exit(main())
