"""Signs for verdicts, policy states and grades: a shape and a word each, so that nothing rests on colour alone."""

from __future__ import annotations

from dataclasses import dataclass

from lossconform.reports.model import Grade, Verdict


@dataclass(frozen=True)
class Mark:
    """A sign with its word, its CSS class and what it means."""

    sign: str
    word: str
    style: str
    meaning: str


VERDICTS = {
    Verdict.PASS: Mark("✓", "pass", "pass", "the check holds"),
    Verdict.KNOWN: Mark("≈", "known deviation", "known", "it does not hold, for a reason that is on file"),
    Verdict.FAIL: Mark("✗", "fail", "fail", "it does not hold, and nobody expected that"),
    Verdict.HAZARD: Mark("▲", "hazard", "hazard", "nonsense was accepted in silence"),
    Verdict.UNSUPPORTED: Mark("–", "unsupported", "none", "the loss function does not promise this"),
    Verdict.NOT_RUN: Mark("○", "not run", "idle", "no case could have told"),
    Verdict.CRASHED: Mark("✱", "crashed", "crashed", "the process ended during this check"),
}
"""Every verdict's mark."""

MISSING = Mark("∅", "missing", "missing", "expected, but there is no record")
"""Not a verdict: what a crash or an interruption leaves behind."""

STATES = {
    "as documented": Mark("✓", "as documented", "pass", "the documented value is among those observed"),
    "undocumented": Mark("?", "undocumented", "known", "nothing is documented; this is what it does"),
    "differs": Mark("≠", "differs", "fail", "what it does is not what is documented"),
    "no known policy": Mark("✗", "no known policy", "hazard", "no value of the policy explains its answers"),
    "no evidence": Mark("○", "no evidence", "idle", "no case could tell two values apart"),
}
"""What can be said of a policy once it is identified, best first but for the last."""

GRADES = {
    Grade.CORRECTLY_ROUNDED: "g0",
    Grade.FAITHFUL: "g0",
    Grade.ACCURATE: "g1",
    Grade.SHIFT_STABLE: "g1",
    Grade.BACKWARD_STABLE: "g2",
    Grade.SEQUENTIAL: "g2",
    Grade.INACCURATE: "g3",
    Grade.BROKEN: "g4",
}
"""The CSS class of every grade; the word stands beside it."""
