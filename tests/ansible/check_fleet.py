"""The fleet in booted systems: check_booted.py on three hosts of this machine's own Debian, with halod's packages."""
import hosts
from checks import check
from inside import run_booted


@check("fleet: three booted hosts")
def _():
    return run_booted("booted", hosts.native_tree())
