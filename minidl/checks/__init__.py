"""Checks, which refuse bad arguments. Look here when you meet one; these modules are not part of the path.

A check comes before anything changes. Its error names the argument, what was expected, and what was given.
"""

from minidl.checks.arguments import (
    at_least,
    below_one,
    flag,
    float_type,
    function,
    function_or_none,
    generator,
    in_order,
    instance,
    not_infinite,
    not_negative,
    not_rounded_to_zero,
    number,
    one_of,
    positive,
    positive_int,
    up_to_one,
)
from minidl.checks.arrays import finite
from minidl.checks.labels import check_labels

__all__ = [
    "at_least",
    "below_one",
    "check_labels",
    "finite",
    "flag",
    "float_type",
    "function",
    "function_or_none",
    "generator",
    "in_order",
    "instance",
    "not_infinite",
    "not_negative",
    "not_rounded_to_zero",
    "number",
    "one_of",
    "positive",
    "positive_int",
    "up_to_one",
]
