#!/usr/bin/env python3
"""The packages as files: contents, dependencies, scripts, what lintian and rpmlint say; the .rpms installed into a root of their own.

Needs build/cpu-release, built, and `cpack -G DEB` and `cpack -G RPM` done (scripts/check e2e does); rpm, rpmbuild, lintian, rpmlint."""
import os
import re
import shutil
import tempfile
from pathlib import Path

from checks import SkipCheck, check, expect, run, run_all
from trees import ROOT

BUILD = ROOT / "build/cpu-release"
PACKAGES = BUILD / "packages"
NAMES = ("halod", "haloctl", "halod-bench")
# What each has beyond documentation; the rest of the files are looked at by running them (tests/e2e/booted).
FILES = {
    "halod": {"/etc/halod/halod.yaml", "/usr/bin/halod", "/usr/libexec/halod/halo-engine", "/usr/lib/systemd/system/halod.service",
              "/usr/lib/systemd/system/halod.socket", "/usr/lib/systemd/catalog/halod.catalog", "/usr/lib/sysusers.d/halod.conf",
              "/usr/lib/tmpfiles.d/halod.conf", "/usr/lib/udev/rules.d/70-halod.rules", "/usr/share/dbus-1/system.d/io.halod.Halod1.conf",
              "/usr/share/dbus-1/system-services/io.halod.Halod1.service", "/usr/share/dbus-1/interfaces/io.halod.Halod1.xml",
              "/usr/share/polkit-1/actions/io.halod.policy", "/usr/share/polkit-1/rules.d/50-halod.rules",
              "/usr/share/halod/models/demo-moe-Q8_0.gguf", "/usr/share/halod/models/README.md", "/usr/share/man/man8/halod.8.gz"},
    "haloctl": {"/usr/bin/haloctl", "/usr/share/man/man1/haloctl.1.gz", "/usr/share/bash-completion/completions/haloctl",
                "/usr/share/zsh/site-functions/_haloctl", "/usr/share/fish/vendor_completions.d/haloctl.fish"},
    "halod-bench": {"/usr/bin/halo-bench", "/usr/share/man/man1/halo-bench.1.gz"},
}


def package(name: str, kind: str) -> Path:
    pattern = f"{name}_*.deb" if kind == "deb" else f"{name}-[0-9]*.rpm"
    found = sorted(PACKAGES.glob(pattern), key=lambda path: path.stat().st_mtime)
    expect(found, f"no {PACKAGES}/{pattern}")
    return found[-1]


def need(*programs: str) -> None:
    for program in programs:
        if not shutil.which(program):
            raise SkipCheck(f"there is no {program}")


def beside_documentation(paths) -> set[str]:
    return {path for path in paths if not path.startswith(("/usr/share/doc/", "/usr/share/lintian/", "/usr/share/licenses/"))}


def deb_files(path: Path) -> dict[str, str]:
    """Path to mode and owner."""
    lines = [line.split(maxsplit=5) for line in run("dpkg-deb", "-c", path).stdout.splitlines()]
    return {line[5].removeprefix("."): f"{line[0]} {line[1]}" for line in lines if not line[0].startswith("d")}


def rpm_query(path: Path, *arguments: str) -> list[str]:
    return run("rpm", "-qp", "--nosignature", *arguments, path).stdout.splitlines()


def field(path: Path, name: str) -> str:
    return run("dpkg-deb", "-f", path, name).stdout.strip()


# ---- Debian


@check("each .deb has its files, root's, and no other")
def _():
    for name in NAMES:
        files = deb_files(package(name, "deb"))
        expect(beside_documentation(files) == FILES[name], f"{name}: {beside_documentation(files) ^ FILES[name]}")
        wrong = [path for path, mode in files.items() if not re.fullmatch(r"-rw[x-]r-[x-]r-[x-] root/root", mode)]
        expect(not wrong, f"{name}: {wrong}")
        expect({f"/usr/share/doc/{name}/{file}" for file in ("copyright", "changelog.gz", "NOTICE")} <= set(files), f"{name}: no licence")


@check("the configuration is a conffile, and nothing else is")
def _():
    conffiles = run("dpkg-deb", "--info", package("halod", "deb"), "conffiles").stdout.split()
    expect(conffiles == ["/etc/halod/halod.yaml"], str(conffiles))


@check("dependencies are those of the programs; haloctl and halod-bench go without the daemon")
def _():
    depends = {name: field(package(name, "deb"), "Depends") for name in NAMES}
    for wanted in ("systemd (>= 252)", "libsystemd0", "libsdbus-c++", "libc6"):
        expect(wanted in depends["halod"], f"no {wanted} in {depends['halod']}")
    for name in ("haloctl", "halod-bench"):
        expect("halod" not in depends[name] and "systemd (" not in depends[name], f"{name}: {depends[name]}")
    for name in NAMES:
        everything = depends[name] + field(package(name, "deb"), "Recommends")
        expect("hip" not in everything and "rocm" not in everything, f"{name} wants a GPU's runtime: {everything}")


@check("what packages say of themselves: version, summary, description, change log")
def _():
    version = re.search(r"project\(halod VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text()).group(1)
    for name in NAMES:
        path = package(name, "deb")
        expect(field(path, "Version") == version, field(path, "Version"))
        summary, *text = field(path, "Description").splitlines()
        expect(10 < len(summary) < 80 and len(text) >= 2 and summary not in text, f"{name}: {summary}\n{text}")
    expect(f"halod ({version}) " in (ROOT / "packaging/deb/changelog").read_text(), f"packaging/deb/changelog has no {version}")
    spec = (ROOT / "packaging/rpm/halod.spec").read_text()
    expect(re.search(rf"^Version: +{re.escape(version)}$", spec, re.MULTILINE), f"packaging/rpm/halod.spec is not {version}")


@check("lintian has nothing to say that packaging/deb/*.lintian-overrides does not explain")
def _():
    need("lintian")
    # As root it warns about being root, on standard error.
    result = run("lintian", "--no-cfg", "--tag-display-limit=0", "--fail-on=error,warning", *[package(name, "deb") for name in NAMES], ok=None,
                 timeout=300)
    expect(result.returncode == 0 and not re.search(r"^[EW]: ", result.stdout, re.MULTILINE), result.stdout + result.stderr)


# ---- Fedora


@check("each .rpm has the same files as its .deb")
def _():
    need("rpm")
    for name in NAMES:
        files = beside_documentation(path for path in rpm_query(package(name, "rpm"), "-l"))
        # rpm lists folders that are the package's own.
        files -= {"/etc/halod", "/usr/libexec/halod", "/usr/share/halod", "/usr/share/halod/models"}
        expect(files == FILES[name], f"{name}: {files ^ FILES[name]}")


@check("rpm keeps a configuration that was changed, and knows the licences")
def _():
    need("rpm")
    expect(rpm_query(package("halod", "rpm"), "-c") == ["/etc/halod/halod.yaml"])
    flags = rpm_query(package("halod", "rpm"), "--qf", "[%{FILENAMES} %{FILEFLAGS:fflags} %{FILEMODES:perms} %{FILEUSERNAME} %{FILEGROUPNAME}\n]")
    line = next(line for line in flags if line.startswith("/etc/halod/halod.yaml "))
    # c: configuration, n: noreplace
    expect(line == "/etc/halod/halod.yaml cn -rw-r----- root halod", line)
    for name in NAMES:
        licences = rpm_query(package(name, "rpm"), "-L")
        expect({Path(path).name for path in licences} == {"LICENSE", "NOTICE"}, f"{name}: {licences}")


@check("its scripts make users and folders, and ask systemd's helper for the rest")
def _():
    need("rpm")
    scripts = "\n".join(rpm_query(package("halod", "rpm"), "--scripts"))
    for part in ("systemd-sysusers halod.conf", "systemd-tmpfiles --create halod.conf", "install-system-units halod.service halod.socket",
                 "remove-system-units halod.service halod.socket", "mark-restart-system-units halod.service"):
        expect(part in scripts, f"no `{part}` in\n{scripts}")
    for name in ("haloctl", "halod-bench"):
        expect(not rpm_query(package(name, "rpm"), "--scripts"), f"{name} has scripts")


@check("it requires what its programs link, and nothing of ROCm")
def _():
    need("rpm")
    requires = rpm_query(package("halod", "rpm"), "--requires")
    for wanted in (r"systemd >= 252", r"libsystemd\.so\.0\(.*\)\(64bit\)", r"libsdbus-c\+\+\.so\.\d.*", r"libc\.so\.6\(.*\)\(64bit\)"):
        expect(any(re.fullmatch(wanted, line) for line in requires), f"no {wanted} in {requires}")
    expect(not any("hip" in line.lower() or "rocm" in line.lower() for line in requires), str(requires))


@check("rpmlint has nothing to say that packaging/rpm/rpmlint.toml does not explain")
def _():
    need("rpmlint")
    result = run("rpmlint", "--config", ROOT / "packaging/rpm/rpmlint.toml", *[package(name, "rpm") for name in NAMES],
                 ROOT / "packaging/rpm/halod.spec", ok=None, timeout=300)
    expect(re.search(r" 0 errors, 0 warnings", result.stdout), result.stdout + result.stderr)


@check("the .rpms go into a root, halod runs from there, and they go out again but for a changed configuration")
def _():
    need("rpm")
    root = Path(tempfile.mkdtemp(prefix="halod-rpm-"))
    try:
        # --nodeps: the libraries are this machine's, which rpm knows nothing of. --noscripts: sysusers and systemctl would act on this
        # machine; what they do is checked above, and on Debian in the booted tree.
        common = ["rpm", f"--root={root}", "--nodeps", "--noscripts"]
        run(*common, "-i", "--nosignature", *[package(name, "rpm") for name in NAMES])
        expect({line.rsplit("-", 2)[0] for line in run("rpm", f"--root={root}", "-qa").stdout.split()} == set(NAMES))
        broken = run("rpm", f"--root={root}", "-Va", "--nodeps", "--noscripts", "--nouser", "--nogroup", ok=None)
        expect(not broken.stdout.strip(), broken.stdout)
        # Libraries are this machine's, everything of its own is from there.
        run(root / "usr/bin/halod", "--config", root / "etc/halod/halod.yaml", "--check-config")
        expect("selftest" in run(root / "usr/bin/halo-bench", "--help").stdout)
        (root / "etc/halod/halod.yaml").write_text("log: {level: debug}\n")
        run(*common, "-e", *NAMES)
        left = sorted(str(path.relative_to(root)) for path in root.rglob("*halo*") if path.is_file() and "rpm" not in path.parts[-2])
        expect(left == ["etc/halod/halod.yaml.rpmsave"], str(left))
    finally:
        shutil.rmtree(root)


# ---- The spec for COPR


def fedora_macros() -> list[str]:
    """What Fedora's macros that the spec uses stand for, for an rpmbuild that has none of them."""
    macros = {"_unitdir": "/usr/lib/systemd/system", "_sysusersdir": "/usr/lib/sysusers.d", "_tmpfilesdir": "/usr/lib/tmpfiles.d",
              "_udevrulesdir": "/usr/lib/udev/rules.d", "_libexecdir": "/usr/libexec", "_docdir": "/usr/share/doc", "dist": ".fc43",
              "bash_completions_dir": "/usr/share/bash-completion/completions", "zsh_completions_dir": "/usr/share/zsh/site-functions",
              "fish_completions_dir": "/usr/share/fish/vendor_completions.d", "debug_package": "%{nil}", "_build_id_links": "none",
              "systemd_post()": "/usr/lib/systemd/systemd-update-helper install-system-units %{?*} || :",
              "systemd_preun()": "/usr/lib/systemd/systemd-update-helper remove-system-units %{?*} || :",
              "systemd_postun_with_restart()": "/usr/lib/systemd/systemd-update-helper mark-restart-system-units %{?*} || :",
              "tmpfiles_create()": "systemd-tmpfiles --create %{?*} || :", "cmake": "cmake", "cmake_build": "cmake --build",
              "cmake_install": "cmake --install", "_vpath_builddir": "build"}
    return [word for name, value in macros.items() for word in ("--define", f"{name} {value}")]


@check("the spec's file lists are complete: its packages, made of an installed tree, are the same as CPack's")
def _():
    need("rpmbuild")
    top = Path(tempfile.mkdtemp(prefix="halod-spec-"))
    try:
        (top / "BUILD/halod-0.1.0").mkdir(parents=True)  # where %prep would have unpacked the sources
        buildroot = top / "root"
        run("cmake", "--install", BUILD, "--prefix", "/usr", "--strip", env=dict(os.environ, DESTDIR=str(buildroot)))
        # --short-circuit: packing only, without compiling everything again; --nodeps: Debian's packages have other names.
        run("rpmbuild", "-bb", "--short-circuit", "--nodeps", "--define", f"_topdir {top}", "--buildroot", buildroot, *fedora_macros(),
            ROOT / "packaging/rpm/halod.spec", timeout=300)
        for name in NAMES:
            (path,) = top.glob(f"RPMS/*/{name}-[0-9]*.rpm")
            # Fedora's rpmbuild compresses manual pages after %install, which was not run here.
            ours, theirs = ({file.removesuffix(".gz") for file in beside_documentation(rpm_query(one, "-l"))}
                            for one in (path, package(name, "rpm")))
            expect(ours == theirs, f"{name}: {ours ^ theirs}")
        weak = rpm_query(next(top.glob("RPMS/*/halod-0*.rpm")), "--recommends")
        expect("rocm-hip" in weak and any(line.startswith("haloctl = ") for line in weak), str(weak))
    finally:
        shutil.rmtree(top)


@check("the spec asks for every library that scripts/install-deps installs on Fedora")
def _():
    spec = set(re.findall(r"^BuildRequires: +(\S+)$", (ROOT / "packaging/rpm/halod.spec").read_text(), re.MULTILINE))
    installer = (ROOT / "scripts/install-deps").read_text()
    listed = re.search(r"^rpm_packages\(\) \{\n  echo ((?:.*\\\n)*.*)\n", installer, re.MULTILINE).group(1).replace("\\\n", " ").split()
    for_tests = {"gtest-devel", "gmock-devel", "pkgconf-pkg-config"}
    missing = set(listed) - for_tests - spec
    expect(not missing, f"packaging/rpm/halod.spec lacks BuildRequires: {', '.join(sorted(missing))}")


# ---- What is in more than one


@check("halo-bench(1) has every command and option of halo-bench")
def _():
    page = (ROOT / "docs/man/halo-bench.1").read_text().replace("\\-", "-")
    program = BUILD / "bin/halo-bench"
    commands = re.findall(r"^  (\w+) {2,}", run(program, "--help").stdout.split("Subcommands:")[1], re.MULTILINE)
    expect(len(commands) >= 11, str(commands))
    for command in commands:
        section = re.search(rf"^\.SS {command}\n(.*?)(?=^\.S[SH] )", page, re.MULTILINE | re.DOTALL)
        expect(section, f"no section for {command}")
        documented = set(re.findall(r"^\.BI? (-\S+)", section.group(1), re.MULTILINE))
        known = set(re.findall(r"(--[a-z][a-z-]*)", run(program, command, "--help").stdout)) - {"--help"}
        known |= {"-n"} if command == "generate" else set()
        expect(documented == known, f"{command}: {documented ^ known}")


@check("manual pages have no errors in groff's eyes")
def _():
    need("man")
    for page in (ROOT / "docs/man/halod.8", ROOT / "docs/man/halo-bench.1", BUILD / "cli/haloctl.1"):
        result = run("man", "--warnings", "--local-file", page, env=dict(os.environ, LC_ALL="C.UTF-8", MANROFFSEQ="", MANWIDTH="80"))
        expect(not result.stderr.strip(), result.stderr)


@check("the SELinux module compiles, and has the type that the containers name")
def _():
    need("checkmodule", "semodule_package")
    file = Path(tempfile.mkdtemp()) / "halod_container.pp"
    run(ROOT / "packaging/selinux/build", file)
    expect(file.stat().st_size > 0)
    declared = re.search(r"^type (\w+),", (ROOT / "packaging/selinux/halod_container.te").read_text(), re.MULTILINE).group(1)
    for unit in ("halod.container", "halod@.container"):
        expect(f"SecurityLabelType={declared}\n" in (ROOT / "packaging/quadlet" / unit).read_text(), unit)


if __name__ == "__main__":
    run_all()
