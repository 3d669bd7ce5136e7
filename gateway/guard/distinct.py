"""How many different things were seen, in a fixed number of bytes: HyperLogLog over numpy registers.

Flajolet et al. 2007, with linear counting where few registers are set: 2^p bytes, standard error 1.04 / sqrt(2^p). Two
sketches merge by the maximum, so that gateways need not agree on who saw what.
"""

import math

import numpy as np
from numpy.typing import NDArray

Registers = NDArray[np.uint8]


def empty(precision: int) -> Registers:
    return np.zeros(1 << precision, np.uint8)


def add(registers: Registers, value: int) -> None:
    """`value` is a well-mixed hash of 64 bits."""
    precision = len(registers).bit_length() - 1
    place = value & (len(registers) - 1)
    rest = (value & 0xFFFFFFFFFFFFFFFF) >> precision
    rank = (64 - precision) - rest.bit_length() + 1
    registers[place] = max(registers[place], rank)


def placed(values: NDArray[np.uint64], precision: int) -> tuple[NDArray[np.intp], Registers]:
    """The register of each value, and the rank that it has there at least."""
    places = (values & np.uint64((1 << precision) - 1)).astype(np.intp)
    # The exponent of a float64 counts bits; 2^53 and above may round up by one, which costs a rank of 1 in 2^11 values.
    bits = np.frexp((values >> np.uint64(precision)).astype(np.float64))[1]
    return places, (64 - precision - bits + 1).astype(np.uint8)


def add_placed(registers: Registers, places: NDArray[np.intp], ranks: Registers) -> None:
    np.maximum.at(registers, places, ranks)


def count(registers: Registers) -> float:
    """The estimate of how many different values were added."""
    size = len(registers)
    alpha = 0.7213 / (1 + 1.079 / size) if size >= 128 else 0.709
    raw = alpha * size * size / float(np.exp2(-registers.astype(np.float64)).sum())
    zeros = size - int(np.count_nonzero(registers))
    if raw <= 2.5 * size and zeros:
        return size * math.log(size / zeros)
    return raw
