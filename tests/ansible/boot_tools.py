#!/usr/bin/env python3
"""grubby, rpm-ostree, kernel-install and update-grub of a simulated machine, by the name that it is called by.

Works below $SIMULATED_ROOT on the files that the real ones work on (grubby on boot/entries.json instead of boot loader entries) and
appends each call to calls.log there. Refuses what the real ones would not understand.
"""
import json
import os
import re
import shlex
import sys
from pathlib import Path

root = Path(os.environ["SIMULATED_ROOT"])
name, arguments = Path(sys.argv[0]).name, sys.argv[1:]
with open(root / "calls.log", "a") as log:
    log.write(shlex.join([name, *arguments]) + "\n")


def words(text: str) -> list[str]:
    return re.findall(r'(?:[^\s"]|"[^"]*")+', text)


def option(prefix: str) -> list[str]:
    return words(next((item[len(prefix):] for item in arguments if item.startswith(prefix)), ""))


def grubby() -> None:
    file = root / "boot/entries.json"
    entries = json.loads(file.read_text())
    if arguments == ["--info=ALL"]:
        for idx, entry in enumerate(entries):
            print(f'index={idx}\nkernel="/boot/vmlinuz-{entry["version"]}"\nargs="{" ".join(entry["args"])}"\nroot="UUID=0a-1"\n'
                  f'initrd="/boot/initramfs-{entry["version"]}.img"\ntitle="Fedora Linux"\nid="{entry["version"]}"')
        print("non linux entry")
    elif arguments and arguments[0] == "--update-kernel=ALL" and all(re.match("--(remove-)?args=", item) for item in arguments[1:]):
        for entry in entries:
            removed, added = option("--remove-args="), option("--args=")
            kept = [item for item in entry["args"] if item not in removed and item.split("=")[0] not in removed]
            for item in added:
                kept = [other for other in kept if other.split("=")[0] != item.split("=")[0]] + [item]
            entry["args"] = kept
        file.write_text(json.dumps(entries))
    else:
        sys.exit(f"grubby: unknown arguments {arguments}")


def rpm_ostree() -> None:
    file = root / "ostree.kargs"
    stored = words(file.read_text())
    if arguments[:1] != ["kargs"]:
        sys.exit(f"rpm-ostree: unknown arguments {arguments}")
    if not arguments[1:]:
        print(" ".join(stored))
    for item in arguments[1:]:
        change = re.fullmatch(r"--(delete-if-present|append-if-missing)=(.+)", item)
        if not change:
            sys.exit(f"rpm-ostree: unknown option {item}")
        if change.group(1) == "delete-if-present":
            stored = [other for other in stored if other != change.group(2)]
        elif change.group(2) not in stored:
            stored.append(change.group(2))
    file.write_text(" ".join(stored))


def kernel_install() -> None:
    verb, version, image = arguments
    if verb != "add" or not Path(image).exists():
        sys.exit(f"kernel-install: cannot {verb} {image}")
    entry = root / f"boot/loader/entries/0a1b-{version}.conf"
    entry.parent.mkdir(parents=True, exist_ok=True)
    entry.write_text(f"title Linux\nversion {version}\noptions {(root / 'etc/kernel/cmdline').read_text()}")


def update_grub() -> None:
    # As grub-mkconfig does: the shell reads the file, then those of default/grub.d.
    files = [root / "etc/default/grub", *sorted((root / "etc/default/grub.d").glob("*.cfg"))]
    script = "".join(f". {shlex.quote(str(file))}; " for file in files) + 'echo "$GRUB_CMDLINE_LINUX"; echo "$GRUB_CMDLINE_LINUX_DEFAULT"'
    common, default = os.popen(f"sh -c {shlex.quote(script)}").read().splitlines()
    menu = root / "boot/grub/grub.cfg"
    menu.parent.mkdir(parents=True, exist_ok=True)
    menu.write_text(f"menuentry 'Linux' {{\n\tlinux /boot/vmlinuz root=UUID=0a ro {common} {default}\n}}\n"
                    f"menuentry 'Linux (recovery mode)' {{\n\tlinux /boot/vmlinuz root=UUID=0a ro single {common}\n}}\n")


{"grubby": grubby, "rpm-ostree": rpm_ostree, "kernel-install": kernel_install, "update-grub": update_grub}[name]()
