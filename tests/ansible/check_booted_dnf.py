"""The role halod through dnf and rpm themselves: .rpm files, and a repository. See check_dnf.py.

Fedora's own packages are nowhere to be had without its mirrors, so the host is a Debian that says of itself that it is Fedora 43. Its libraries are
Debian's; a package without files tells rpm that it has those that halod's .rpms, which were built here, require.

The checks go on from each other's state; `after` says from whose, so that one can be run alone: run.py --check NAME.
"""
import functools
import re
import shutil
from pathlib import Path

import hosts
from booted_fleet import KEY, RIGHT, Fleet, ask, expect_firewall_opens, expect_same_files, files_of
from checks import check, expect, run

OS_RELEASE = 'NAME="Fedora Linux"\nID=fedora\nVERSION_ID=43\nPRETTY_NAME="Fedora Linux 43 (Debian, in truth)"\n'
# As Debian's rpm would have it for root: in root's home, out of dpkg's way.
MACROS = "%_dbpath /var/lib/rpm\n"
SPEC = """Name: fedora-libraries
Version: 43
Release: 1
Summary: What halod's packages require of Fedora
License: MIT
BuildArch: noarch
AutoReqProv: no
Provides: system-release(releasever) = 43
{provides}
%description
See tests/ansible/check_booted_dnf.py.
%files
"""
PLAY = [{"hosts": "all", "gather_facts": False, "roles": ["halod.fleet.halod"]}]
REPOSITORY = {"halod_package_files": [], "halod_repository_url": "file:///srv/packages"}


def variables_of(_: Fleet) -> dict:
    return {"halod_package_files": [str(path) for path in hosts.packages("rpm")], "halod_listen": "0.0.0.0:8000", "halod_api_keys": [KEY],
            "halod_verify_expect": RIGHT, "halod_verify_timeout": 120}


@functools.cache
def the_fleet() -> Fleet:
    """Booted when the first check asks for it; one host."""
    return Fleet(1, variables_of)


def the_host() -> hosts.Host:
    return the_fleet().machines[0]


def libraries(folder: Path) -> Path:
    """The package that provides what those of halod require."""
    required = {line for path in hosts.packages("rpm") for line in run("rpm", "-qp", "--nosignature", "--requires", path).stdout.splitlines()}
    provides = sorted({re.sub(" [<>]?= ", " = ", line.strip()) for line in required if not line.startswith(("rpmlib(", "config("))})
    spec = folder / "libraries.spec"
    spec.write_text(SPEC.format(provides="\n".join(f"Provides: {line}" for line in provides)))
    run("rpmbuild", "-bb", "--define", f"_topdir {folder}/rpmbuild", spec)
    return next(folder.glob("rpmbuild/RPMS/noarch/*.rpm"))


@check("dnf: a host boots, and takes itself for Fedora", name="dnf-boot")
def _():
    host = the_host()
    for path in ("etc/os-release", "etc/fedora-release", "etc/redhat-release"):
        host.write(path, OS_RELEASE if path == "etc/os-release" else "Fedora release 43 (Forty Three)\n")
    host.write("etc/rpm/macros.test", MACROS)
    shutil.copy(libraries(the_fleet().folder), host.root / "srv/fedora-libraries.rpm")
    host.ssh("rpm", "--initdb")
    host.ssh("rpm", "-i", "--nodeps", "/srv/fedora-libraries.rpm")
    facts = the_fleet().ansible.run([{"hosts": "all", "gather_facts": True, "tasks": [
        {"ansible.builtin.debug": {"msg": "{{ ansible_facts.os_family }} {{ ansible_facts.pkg_mgr }}"}}]}])
    expect("RedHat dnf" in facts.messages(host.name), facts.output)
    return host.ssh("dnf", "--version").splitlines()[0]


def expect_install(variables: dict) -> None:
    """In check mode, for real, again."""
    host, before = the_host(), files_of(the_host())
    tried = the_fleet().ansible.run(PLAY, "--check", "--diff", variables=variables)
    the_fleet().expect_success(tried)
    expect_same_files(host, before)
    the_fleet().expect_success(the_fleet().ansible.run(PLAY, variables=variables))
    installed = set(host.ssh("rpm", "-qa", "--qf", "%{NAME} ").split())
    expect(installed == {"fedora-libraries", "halod", "haloctl", "halod-bench"}, str(installed))
    expect(ask(host) != "", "nobody answers")
    before = host.main_pid()
    the_fleet().expect_unchanged(the_fleet().ansible.run(PLAY, variables=variables), ["halod"])
    expect(host.main_pid() == before, "halod was restarted")


@check("dnf: .rpm files, in check mode, for real, and again without a change", name="dnf-files", after="dnf-boot")
def _():
    expect_install({})
    owners = the_host().ssh("stat", "-c", "%U:%G %a", "/etc/halod/halod.yaml", "/var/lib/halod/models")
    expect(owners.splitlines() == ["root:halod 640", "halod:halod-admin 2775"], owners)
    expect(the_host().ssh("systemctl", "is-enabled", "halod") == "enabled", "it does not start with the host")


@check("dnf: firewalld itself lets clients in, all or those of a network, and again without a change", name="dnf-firewalld", after="dnf-files")
def _():
    expect_firewall_opens(the_fleet(), the_host(), [["systemctl", "start", "firewalld"]], f"{hosts.NETWORK}.0/24")
    the_host().ssh("systemctl", "stop", "firewalld")


@check("dnf: from a repository, in check mode, for real, and again without a change", name="dnf-repository", after="dnf-files")
def _():
    host = the_host()
    host.ssh("dnf", "--assumeyes", "remove", "halod", "haloctl", "halod-bench")
    expect(not (host.root / "usr/bin/halod").exists(), "it is still there")
    (host.root / "srv/packages").mkdir()
    for path in hosts.packages("rpm"):
        shutil.copy(path, host.root / "srv/packages")
    host.ssh("createrepo_c", "/srv/packages")
    expect_install(REPOSITORY)
