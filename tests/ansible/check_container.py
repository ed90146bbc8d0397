"""halod as a container on a booted Debian 13, by the role: check_booted_container.py."""
import hosts
from checks import SkipCheck, check
from inside import run_booted


@check("container: a booted Debian 13 with podman")
def _():
    if not hosts.IMAGE.exists():
        raise SkipCheck(f"there is no {hosts.IMAGE}; tests/e2e/image.py makes it")
    return run_booted("booted_container", hosts.container_tree())
