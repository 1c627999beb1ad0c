"""Images that show one picture, by a perceptual hash and then by their details. Arrays in, pairs out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.fft import dctn
from scipy.stats import norm

SIDE = 64
"""Side in pixels of the grey pictures that are compared."""
MAX_DISTANCE = 8
"""Bits, of 63, by which the hashes of candidates differ at most."""
MIN_SIMILARITY = 0.93
"""Correlation of details from which on two pictures count as one."""
MAX_CANDIDATES = 4_000_000
"""Pairs whose details are compared; where there are more, only those of nearer hashes."""
_ALWAYS = 0.995  # recompressed copies reach this
_MIN_SIMILARITY_OF_SMALL = 0.985  # pictures enlarged from 8 px have few details, and similar ones share them
_MIN_FINE = 0.1  # share of the finest details: .02 of 8 px, .06 of 28 px, .2 and more of photographs
_MEASURED = 500
_DETAIL_SIGMA = 3.0  # pixels; what is coarser, such as one dark spot in the middle, many pictures share
_BLOCK = 4_000_000  # hashes compared at a time
_SAMPLED = 20_000  # pairs by which the similarity of different pictures is known
_PAIRS_AT_A_TIME = 4096
_SYMMETRIES = 8

Grey = npt.NDArray[np.uint8]
Index = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class NearPairs:
    """P pairs of pictures that show the same.

    Attributes:
        first, second: (P,) rows, first < second.
        symmetry: (P,) how the second is turned: 0 not, 1 and 2 mirrored, others turned; see `turned`.
        similarity: (P,) correlation of their details, up to 1.
        least: similarity from which on pictures counted as one.
    """

    first: Index
    second: Index
    symmetry: Index
    similarity: npt.NDArray[np.float64]
    least: float


def perceptual_hashes(grey: Grey) -> npt.NDArray[np.uint64]:
    """Return (N, 8) hashes of pictures (N, 64, 64) under the symmetries of `turned`.

    A bit each for the 63 lowest frequencies but the mean, 1 where the coefficient exceeds their median (pHash: Zauner,
    "Implementation and Benchmarking of Perceptual Image Hash Functions", 2010). Mirroring an image changes the signs of
    odd frequencies, so that one transform serves all symmetries.
    """
    hashes = np.empty((len(grey), _SYMMETRIES), dtype=np.uint64)
    signs = (-1.0) ** np.arange(8)
    for start in range(0, len(grey), 1024):
        part = grey[start : start + 1024].astype(np.float32)
        small = part.reshape(len(part), SIDE // 2, 2, SIDE // 2, 2).mean(axis=(2, 4))
        low = dctn(small, axes=(1, 2), norm="ortho")[:, :8, :8]
        for symmetry in range(_SYMMETRIES):
            own = low.transpose(0, 2, 1) if symmetry & 4 else low
            own = (
                own * (signs[None, None, :] if symmetry & 1 else 1.0) * (signs[None, :, None] if symmetry & 2 else 1.0)
            )
            hashes[start : start + len(part), symmetry] = _packed(own)
    return hashes


def turned(picture: npt.NDArray[Any], symmetry: int) -> npt.NDArray[Any]:
    """Return a square picture (H, H, …), transposed where bit 4 of the symmetry is set, then mirrored by 1 and 2."""
    own = np.swapaxes(picture, 0, 1) if symmetry & 4 else picture
    own = own[:, ::-1] if symmetry & 1 else own
    return own[::-1] if symmetry & 2 else own


def near_pairs(grey: Grey, seed: int = 0, most: int = MAX_DISTANCE) -> NearPairs:
    """Return the pairs of pictures (N, 64, 64), none of one colour, that show the same, turned or not.

    Candidates have hashes at most `most` bits apart. Of these the pictures' details decide, whose correlation
    is at least `MIN_SIMILARITY`, and higher than that of different pictures of these data: among photographs of eyes,
    all of which look alike, more is needed than among those of anything.

    Args:
        most: bits; fewer are faster, and find fewer of the changed pictures.
    """
    least = _least_similarity(grey, seed)
    first, second, symmetry = _candidates(perceptual_hashes(grey), most)
    similarity = _similarities(grey, first, second, symmetry)
    order = np.lexsort((-similarity, second, first))
    first, second, symmetry, similarity = first[order], second[order], symmetry[order], similarity[order]
    best = np.ones(len(first), dtype=np.bool_)  # of a pair that is alike under several symmetries
    best[1:] = (first[1:] != first[:-1]) | (second[1:] != second[:-1])
    keep = best & (similarity >= least)
    return NearPairs(first[keep], second[keep], symmetry[keep], similarity[keep], least)


def _packed(low: npt.NDArray[np.float32]) -> npt.NDArray[np.uint64]:
    flat = low.reshape(len(low), 64)[:, 1:]
    bits = np.zeros((len(low), 64), dtype=np.bool_)
    bits[:, 1:] = flat > np.median(flat, axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(np.uint64)[:, 0]


def _candidates(hashes: npt.NDArray[np.uint64], most: int) -> tuple[Index, Index, Index]:
    """Return rows and symmetry of the pairs whose hashes are near; ties of one pair are all returned."""
    found, total = [], 0
    plain = np.ascontiguousarray(hashes[:, 0])
    size = max(1, _BLOCK // max(1, len(hashes)))
    for start in range(0, len(hashes), size):
        rows = plain[start : start + size, None]
        for symmetry in range(_SYMMETRIES):
            distances = np.bitwise_count(rows ^ hashes[None, start:, symmetry])
            i, j = np.nonzero(distances <= most)
            later = i < j
            i, j = i[later], j[later]
            found.append((i + start, j + start, np.full(len(i), symmetry), distances[i, j]))
            total += len(i)
        while total > MAX_CANDIDATES and most > 0:
            most -= 1
            found = [tuple(each[part[3] <= most] for each in part) for part in found]
            total = sum(len(part[0]) for part in found)
    first, second, symmetries = (
        np.concatenate([part[place] for part in found] or [np.empty(0)]).astype(np.int64) for place in range(3)
    )
    return first, second, symmetries


def _details(grey: Grey) -> npt.NDArray[np.float32]:
    """Return (N, 64, 64) pictures less their blurred selves, with mean 0 and length 1."""
    import cv2

    sharp = grey.astype(np.float32)
    for picture in sharp:
        picture -= cv2.GaussianBlur(picture, (0, 0), _DETAIL_SIGMA)
        picture -= picture.mean()
        picture /= max(float(np.linalg.norm(picture)), 1e-6)
    return sharp


def _similarities(grey: Grey, first: Index, second: Index, symmetry: Index) -> npt.NDArray[np.float64]:
    """Return the correlation (P,) of the details of pairs."""
    result = np.empty(len(first))
    order = np.argsort(first, kind="stable")  # neighbours share rows
    for start in range(0, len(order), _PAIRS_AT_A_TIME):
        part = order[start : start + _PAIRS_AT_A_TIME]
        rows, places = np.unique(np.concatenate([first[part], second[part]]), return_inverse=True)
        details = _details(grey[rows])
        one, other = details[places[: len(part)]], places[len(part) :]
        for each in np.unique(symmetry[part]):
            of = symmetry[part] == each
            opposite = np.moveaxis(turned(np.moveaxis(details[other[of]], 0, -1), int(each)), -1, 0)
            result[part[of]] = np.einsum("nij,nij->n", one[of], opposite)
    return result


def _least_similarity(grey: Grey, seed: int) -> float:
    """Return the correlation that about one pair of different pictures would reach by chance, in all of these data.

    By Fisher's transform of the correlations of random pairs, which is about normal; median and 90 % quantile, since
    some of the pairs may show the same.
    """
    count = len(grey)
    if count < 3:
        return MIN_SIMILARITY
    rng = np.random.default_rng(seed)
    size = min(_SAMPLED, count * (count - 1))
    first = rng.integers(0, count, size)
    second = (first + rng.integers(1, count, size)) % count
    values = _similarities(grey, first, second, np.zeros(size, dtype=np.int64))
    scores = np.arctanh(np.clip(values, -0.9999, 0.9999))
    middle, high = np.quantile(scores, (0.5, 0.9))
    tests = max(count * (count - 1) / 2 * _SYMMETRIES, 1.0)
    chance = np.tanh(middle + (high - middle) / norm.isf(0.1) * norm.isf(1 / tests))
    floor = (
        MIN_SIMILARITY if _fine_share(grey[:: max(1, count // _MEASURED)]) >= _MIN_FINE else _MIN_SIMILARITY_OF_SMALL
    )
    return float(min(max(floor, chance), _ALWAYS))


def _fine_share(grey: Grey) -> float:
    """Return the median share of details below 1 px in those below 3 px; it is small where pictures were enlarged."""
    import cv2

    shares = []
    for picture in grey.astype(np.float32):
        fine, all_details = (picture - cv2.GaussianBlur(picture, (0, 0), sigma) for sigma in (1.0, _DETAIL_SIGMA))
        shares.append(float((fine**2).sum() / max(float((all_details**2).sum()), 1e-6)))
    return float(np.median(shares))
