"""Pairs: sums and products of float64 arrays with their rounding errors, and the enclosures made of them.

Error-free transformations (T. J. Dekker, Numer. Math. 18, 1971; D. E. Knuth, TAOCP vol. 2, 4.2.2; T. Ogita, S. M. Rump,
S. Oishi, SIAM J. Sci. Comput. 26(6), 2005); the bounds are derived in docs/numerics-tiers.md.
"""

from __future__ import annotations

import numpy as np

from lossconform.reference.bounds import TINY, WIDEN, U
from lossconform.reference.formats import Float64, two_sum

Parts = tuple[Float64, Float64, Float64]


GROUP, LAST = 8, 32
"""How many terms at a time are added in whatever order NumPy likes, and below how many all that are left are."""


def depth(n: int) -> int:
    """Return how many additions a term goes through in a fold of n, at most."""
    additions = 0
    while n >= LAST:
        n, left = divmod(n, GROUP)
        additions += GROUP - 1 + (left > 0)
    return additions + max(n - 1, 0)


def halvings(n: int) -> int:
    """Return how often n terms are halved until one is left."""
    return max(n - 1, 0).bit_length()


def fold(terms: Float64) -> Float64:
    """Return the sum over axis 1, by groups of few terms and those of the groups; it destroys the terms.

    For nonnegative terms its relative error is at most depth(n) u, barring overflow.
    """
    n, width = terms.shape
    while width >= LAST:
        width, left = divmod(width, GROUP)
        together = width * GROUP
        if left:
            terms[:, :left] += terms[:, together:]
        # Of what is left, term by term, every addition runs along many rows.
        terms = np.asfortranarray(np.add.reduce(terms[:, :together].reshape(n, GROUP, width), axis=1))
    result: Float64 = np.add.reduce(terms, axis=1)
    return result


def fold_pairs(terms: Float64) -> Parts:
    """Return s, c and a bound such that the sum over axis 1 is s + c within the bound; terms of any sign.

    The bound is 0 where nothing was lost, so a sum that is a rounding midpoint is known to be one. It is a posteriori:
    the rounding errors of the errors themselves are summed.
    """
    s, errors = _fold_two_sum(terms)
    c, lost = _fold_two_sum(errors)
    # A plain sum of at most n + 1 nonnegative terms, whatever its order: its relative error is below 2 n u.
    bound = np.abs(lost).sum(axis=1) * (1 + 2 * (terms.shape[1] + 1) * U)
    return s, c, bound


def _fold_two_sum(terms: Float64) -> tuple[Float64, Float64]:
    """Return the folded sum over axis 1 and every rounding error of it, (N, at least 1)."""
    errors = []
    while terms.shape[1] > 1:
        half = terms.shape[1] // 2
        s, e = two_sum(terms[:, :half], terms[:, half : 2 * half])
        errors.append(e)
        terms = np.concatenate([s, terms[:, 2 * half :]], axis=1)
    none = np.zeros((terms.shape[0], 1))
    return terms[:, 0] if terms.shape[1] else none[:, 0], np.concatenate([none, *errors], axis=1)


def pair_plus_tail(
    g: Float64,
    low: Float64,
    lost: Float64 | float,
    tail: Float64,
    error: Float64,
    tail_low: Float64 | float = 0.0,
) -> Parts:
    """Return (h, lo, hi) of g + low + T: g + low is right within `lost`, T within `error` of tail + tail_low.

    T is positive, or 0 where tail and error are. Where g absorbs the tail and nothing was lost, the number is strictly
    above g + low: that decides midpoints.
    """
    h, c = two_sum(g, tail)
    inner = c + tail_low
    rest = inner + low
    margin = (error + lost + 4 * U * (np.abs(inner) + np.abs(rest))) * WIDEN
    if (error == 0).any():
        margin = np.where((tail == 0) & (error == 0) & (lost == 0), 0.0, margin)
    floor = np.where((h == g) & (lost == 0), low, -np.inf)
    return h, np.maximum(rest - margin, floor), rest + margin


def product(a: Float64, b: Float64) -> tuple[Float64, Float64]:
    """Return p and e with p = fl(a b) and p + e = a b exactly (Dekker, Veltkamp).

    Exact for |a|, |b| < 2^996 and |a b| either 0 or at least 2^-968; below, e is off by less than TINY.
    """
    p = a * b
    ah, al = split(a)
    bh, bl = split(b)
    return p, al * bl - (((p - ah * bh) - al * bh) - ah * bl)


def split(a: Float64) -> tuple[Float64, Float64]:
    """Return a as the sum of two numbers of at most 26 bits (Veltkamp)."""
    c = a * 134217729.0
    high = c - (c - a)
    return high, a - high


def sum_of(h: Float64, lo: Float64, hi: Float64) -> Parts:
    """Return the enclosure of the sums over axis 1 of enclosed numbers, (N,); strict where a term is."""
    n = h.shape[1]
    s, c, lost = fold_pairs(h)
    bounds: list[Float64] = []
    for side, part in ((-1, lo), (1, hi)):
        some = (part != 0).any(axis=1)
        rest = fold(part.copy())
        margin = np.abs(part).sum(axis=1) * ((depth(n) + 2) * U * (1 + 2 * n * U)) + 4 * U * np.abs(c + rest)
        margin = np.where(some | (lost != 0), (lost + margin + TINY) * WIDEN, 0.0)
        bounds.append((c + rest) + side * margin)
    return s, bounds[0], bounds[1]


def divided(h: Float64, lo: Float64, hi: Float64, by: int) -> Parts:
    """Return the enclosure of enclosed numbers divided by a positive integer of at most 26 bits."""
    q = h / by
    p, e = product(q, np.full_like(h, by))
    left = (h - p) - e  # exact: what a division leaves
    bounds: list[Float64] = []
    for side, part in ((-1, lo), (1, hi)):
        rest = (left + part) / by
        some = (left + part != 0) | ((q != 0) & (np.abs(q) < 2.0**-960))
        bounds.append(
            rest + side * np.where(some, (4 * U * (np.abs(rest) + np.abs(left / by)) + 4 * TINY) * WIDEN, 0.0)
        )
    return q, bounds[0], bounds[1]


def weighted(
    gap: Float64,
    low: Float64,
    lost: Float64 | float,
    tail: Float64,
    tail_error: Float64,
    weight: Float64,
    weight_error: Float64,
) -> tuple[Float64, Float64, Float64, Float64, Float64]:
    """Return w (gap + low + tail), w right within its error, in the parts that `pair_plus_tail` takes."""
    g, more = product(weight, gap)
    rest = weight * low
    used = weight != 0
    some = (lost != 0) | (weight_error != 0) | (low != 0) | ((gap != 0) & (np.abs(g) < 2.0**-960))
    lost = weight * lost + weight_error * (np.abs(gap) + tail)
    lost += np.where(low != 0, 2 * U * (np.abs(rest) + np.abs(more + rest)), 0.0)
    lost = lost * WIDEN + np.where(some & used, 4 * TINY, 0.0)
    w_tail = weight * tail
    tail_error = weight * tail_error + 2 * U * w_tail + np.where(used & (tail_error != 0), TINY, 0.0)
    return g, more + rest, lost, w_tail, tail_error * WIDEN
