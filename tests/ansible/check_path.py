"""docs/paths/ansible.sh as it is, on booted hosts: check_booted_path.py."""
import hosts
from checks import check
from inside import run_booted


@check("path: two booted hosts")
def _():
    return run_booted("booted_path", hosts.native_tree())
