"""Debian trees to boot, and Debian packages of other releases: made and fetched once, kept in build/e2e.

Environment: HALOD_E2E_MIRROR (default: where this machine's apt gets its release from), HALOD_E2E_CACHE (default build/e2e)."""
import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

from checks import SKIPPED, SkipCheck

ROOT = Path(__file__).resolve().parents[2]
CACHE = Path(os.environ.get("HALOD_E2E_CACHE", ROOT / "build/e2e"))


def release() -> dict[str, str]:
    lines = Path("/etc/os-release").read_text().splitlines() if Path("/etc/os-release").exists() else []
    return {key: value.strip('"') for key, _, value in (line.partition("=") for line in lines)}


def mirror() -> str:
    if "HALOD_E2E_MIRROR" in os.environ:
        return os.environ["HALOD_E2E_MIRROR"]
    targets = subprocess.run(["apt-get", "indextargets", "--format", "$(CREATED_BY) $(RELEASE) $(COMPONENT) $(REPO_URI)"],
                             capture_output=True, text=True).stdout
    wanted = ["Packages", release().get("VERSION_CODENAME", ""), "main"]
    for line in targets.splitlines():
        if line.split()[:3] == wanted:
            return line.split()[3].rstrip("/")
    skip("apt of this machine does not say where its release comes from; set HALOD_E2E_MIRROR")


def skip(reason: str) -> None:
    print(f"SKIPPED: the end-to-end test cannot run here: {reason}")
    sys.exit(SKIPPED)


def make_tree(suite: str, packages: list[str], depends: str = "") -> Path:
    """A tree of `suite` with `packages` and everything of `depends`, a package's field; made anew only when these change."""
    key = hashlib.sha256("\n".join([suite, mirror(), depends, *packages]).encode()).hexdigest()[:12]
    name = f"{suite}-{key}"
    tree = CACHE / name
    if tree.exists():
        return tree
    print(f"# making {tree}", flush=True)
    CACHE.mkdir(parents=True, exist_ok=True)
    making = CACHE / f"{name}.making"
    shutil.rmtree(making, ignore_errors=True)
    with open(CACHE / f"{name}.log", "w") as log:
        def call(*command) -> None:
            if subprocess.run(command, stdout=log, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL).returncode != 0:
                skip(f"{command[0]} failed, probably for want of a network: see {log.name}")

        call("debootstrap", "--variant=minbase", f"--include={','.join(packages)}", suite, str(making), mirror())
        # A mirror that is a snapshot has dates in the past.
        (making / "etc/apt/apt.conf.d/99snapshot").write_text('Acquire::Check-Valid-Until "false";\nAcquire::Check-Date "false";\n')
        if depends:
            call("chroot", str(making), "apt-get", "update")
            call("chroot", str(making), "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "satisfy", "--yes", "--no-install-recommends",
                 depends)
        call("chroot", str(making), "apt-get", "clean")
    making.rename(tree)
    return tree


def unpacked_package(suite: str, package: str) -> Path:
    """The files of a package of another release, for programs of it that run here too. Raises SkipCheck without a network."""
    folder = CACHE / f"{package}-{suite}"
    if (folder / "files").exists():
        return folder / "files"
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "lists/partial").mkdir(parents=True)
    source = f"deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] {mirror()} {suite} main\n"
    (folder / "sources.list").write_text(source)
    # Nothing of this machine's own apt: neither its sources nor its lists are touched.
    options = [f"Dir::Etc::sourcelist={folder}/sources.list", "Dir::Etc::sourceparts=/dev/null", "Dir::Etc::preferencesparts=/dev/null",
               f"Dir::State::lists={folder}/lists", f"Dir::Cache={folder}", "Acquire::Check-Valid-Until=false", "Acquire::Check-Date=false",
               "Acquire::Languages=none", "APT::Sandbox::User=root"]
    apt = ["apt-get", "-qq", *[word for option in options for word in ("-o", option)]]
    for command in ([*apt, "update"], [*apt, "download", package]):
        result = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        if result.returncode != 0:
            raise SkipCheck(f"{package} of {suite} cannot be had: {result.stderr.strip()[-300:]}")
    (deb,) = folder.glob("*.deb")
    subprocess.run(["dpkg-deb", "-x", deb, folder / "making"], check=True)
    (folder / "making").rename(folder / "files")
    shutil.rmtree(folder / "lists")
    return folder / "files"
