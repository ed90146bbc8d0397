"""The role halod where dnf installs, on a booted system that takes itself for Fedora 43: check_booted_dnf.py."""
import shutil

import hosts
from checks import SkipCheck, check
from inside import run_booted


@check("dnf: a booted system with dnf and rpm")
def _():
    if not shutil.which("rpmbuild"):
        raise SkipCheck("there is no rpmbuild")
    hosts.packages("rpm")
    return run_booted("booted_dnf", hosts.dnf_tree())
