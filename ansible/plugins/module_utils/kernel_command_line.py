# Copyright: (c) 2026, halod developers
# Apache-2.0 (see LICENSE)
"""A kernel command line as a list of its arguments. Pure functions."""
from __future__ import absolute_import, division, print_function
__metaclass__ = type

import re

# A quoted part may hold blanks (module.option="a b"), and its quotes must survive.
ARGUMENT = re.compile(r'(?:[^\s"]|"[^"]*")+')


def split(text):
    """The arguments of a command line, quotes and all."""
    return ARGUMENT.findall(text)


def name_of(argument):
    """ttm.pages_limit=1 -> ttm.pages_limit. The kernel takes - and _ in names for the same; so does same_name()."""
    return argument.split('=', 1)[0]


def same_name(one, other):
    return name_of(one).replace('-', '_') == name_of(other).replace('-', '_')


def unwanted(argument, present, absent):
    """Whether `argument` contradicts what must be present or absent."""
    for entry in absent:
        if argument == entry or ('=' not in entry and same_name(argument, entry)):
            return True
    wanted_values = [entry for entry in present if same_name(argument, entry)]
    return bool(wanted_values) and argument not in wanted_values


def apply(current, present, absent):
    """`current` with what is asked for. Arguments that nobody asked about stay, in their order and number (console=, rd.lvm.lv=)."""
    kept = [argument for argument in current if not unwanted(argument, present, absent)]
    return kept + [argument for argument in present if argument not in kept]


def differences(current, present, absent):
    """What keeps `current` from being right, for people: ["+iommu=pt", "-amd_iommu=off"]."""
    wanted = apply(current, present, absent)
    return ['+' + argument for argument in wanted if argument not in current] + \
           ['-' + argument for argument in current if argument not in wanted]


def problem_with(present, absent):
    """Why no command line can be as asked; empty when one can."""
    for argument in present + absent:
        if split(argument) != [argument]:
            return '%r is not one kernel argument: give each of them as an item of its own' % argument
        if not re.match(r'[A-Za-z0-9_]', argument):
            return '%r does not begin with the name of a kernel argument' % argument
    for argument in present:
        if any(argument == entry or ('=' not in entry and same_name(argument, entry)) for entry in absent):
            return '%r must be both present and absent' % argument
    return ''
