#!/usr/bin/env python3
"""Builds the container image with podman on a base of this machine's own release, runs it, and looks at it.

The base is a Debian tree: no registry is asked. What halod needs besides comes from the programs of build/cpu-release, as
Containerfile's STAGED says. Needs root and podman; exit status 77 where it cannot run.
"""
import json
import os
import shutil
import sys
import time
import urllib.request
from pathlib import Path

from checks import SKIPPED, check, expect, run, run_all, wait_for
from trees import CACHE, ROOT, make_tree, release

IMAGE, BASE = "localhost/halod:latest", "localhost/halod-e2e-base:latest"
STAGED = ROOT / "build/image-root"
SAVED = CACHE / "halod-image.tar"
STORAGE = CACHE / "storage"
# A storage of its own: the images and containers of this machine are not touched.
PODMAN = ["podman", f"--root={STORAGE}", f"--runroot={CACHE}/runroot", "--cgroup-manager=cgroupfs", "--events-backend=file"]


# As packaging/quadlet has it. Without timers for the health check, because no systemd of this namespace's runs; no limit of processes,
# because podman's cgroups may not be systemd's here.
CONFINED = ["--read-only", "--cap-drop=all", "--security-opt=no-new-privileges", "--no-healthcheck", "--pids-limit=0"]


def podman(*arguments, **options) -> str:
    return run(*PODMAN, *arguments, **{"timeout": 600, **options}).stdout.strip()


def saved_image() -> Path:
    """What a boot loads: the archive of the last run of this program."""
    if not SAVED.exists():
        sys.exit(f"there is no {SAVED}; tests/e2e/image.py makes it")
    return SAVED


def in_private_namespace() -> None:
    """Starts this program again where podman finds nothing but one cgroup tree and its mounts end with it."""
    if os.environ.get("HALOD_E2E_NAMESPACE"):
        return
    os.environ["HALOD_E2E_NAMESPACE"] = "1"
    # Containers may not raise limits above those of a build machine's container.
    CACHE.mkdir(parents=True, exist_ok=True)
    (CACHE / "containers.conf").write_text('[containers]\ndefault_ulimits = ["nofile=20000:20000", "nproc=20000:20000"]\n')
    os.environ["CONTAINERS_CONF"] = str(CACHE / "containers.conf")
    hide = '[ ! -d /sys/fs/cgroup/unified ] || umount /sys/fs/cgroup/unified; exec "$@"'
    os.execvp("unshare", ["unshare", "--mount", "--propagation", "private", "sh", "-c", hide, "sh", sys.executable, *sys.argv])


def health(port: int) -> bool:
    try:
        return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
    except OSError:
        return False


def answer(port: int) -> str:
    body = {"messages": [{"role": "user", "content": "What is 47 + 125?"}], "temperature": 0}
    request = urllib.request.Request(f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(),
                                     {"Content-Type": "application/json"})
    return json.load(urllib.request.urlopen(request, timeout=60))["choices"][0]["message"]["content"]


class Container:
    """One that runs while the `with` does; on the host's network, because a bridge needs rights that not every machine gives."""

    def __init__(self, *options: str, port: int):
        self.port = port
        self.id = podman("run", *CONFINED, "--detach", "--network=host", *options, IMAGE, "--listen", f"127.0.0.1:{port}")

    def __enter__(self):
        try:
            wait_for(lambda: health(self.port), "health", timeout=60)
        except AssertionError as error:
            raise AssertionError(f"{error}\n{podman('logs', self.id, ok=None)}") from None
        return self

    def __exit__(self, *_):
        podman("rm", "--force", "--time=20", self.id)


@check("the base is imported")
def _():
    tree = make_tree(release()["VERSION_CODENAME"], ["ca-certificates"])
    known = podman("image", "ls", "--format", "{{.Repository}}:{{.Tag}}")
    if BASE not in known:
        archive = CACHE / "base.tar"
        run("tar", "--create", f"--file={archive}", f"--directory={tree}", "--exclude=./var/cache/*", ".", timeout=300)
        podman("import", archive, BASE)
        archive.unlink()


@check("the image is built from the Containerfile")
def _():
    start = time.monotonic()
    shutil.rmtree(STAGED, ignore_errors=True)
    run("cmake", "--install", ROOT / "build/cpu-release", "--prefix", "/usr", "--strip", env=dict(os.environ, DESTDIR=str(STAGED)))
    programs = [*(STAGED / "usr/bin").iterdir(), STAGED / "usr/libexec/halod/halo-engine"]
    (STAGED / "packages").write_text(run(ROOT / "packaging/container/runtime-packages", *programs).stdout)
    # --network=host: the build's package manager goes where this machine's goes.
    podman("build", "--format=docker", "--network=host", "--pull=never", f"--build-arg=BASE={BASE}", "--build-arg=STAGED=build/image-root",
           f"--tag={IMAGE}", f"--file={ROOT}/packaging/container/Containerfile", ROOT)
    return f"{time.monotonic() - start:.0f} s"


@check("halod's layers are small, and have neither compiler nor sources")
def _():
    own = int(podman("image", "inspect", "--format", "{{.Size}}", IMAGE)) - int(podman("image", "inspect", "--format", "{{.Size}}", BASE))
    expect(own < 150e6, f"{own} bytes beyond the base:\n{podman('history', IMAGE)}")
    listing = podman("run", *CONFINED, "--rm", "--network=none", "--entrypoint=/bin/sh", IMAGE, "-c", "ls /; command -v cc c++ g++ clang cmake || true")
    expect("src" not in listing.split() and "staged" not in listing.split() and "/bin/" not in listing, listing)
    return f"{own / 1e6:.0f} MB beyond the base"


@check("it says what it is, who runs in it and how it is asked for its health")
def _():
    (image,) = json.loads(podman("image", "inspect", IMAGE))
    labels, config = image["Labels"], image["Config"]
    expect(labels["org.opencontainers.image.title"] == "halod" and labels["org.opencontainers.image.licenses"], str(labels))
    expect(config["User"] == "808:808", config["User"])
    sysusers = (ROOT / "packaging/systemd/halod.sysusers.conf").read_text()
    expect("\nu halod 808 " in sysusers, "the image's user has another number than the package's")
    expect(image.get("Healthcheck") or config.get("Healthcheck"), "no health check")
    version = podman("run", *CONFINED, "--rm", "--network=none", IMAGE, "--version")
    expect(labels["org.opencontainers.image.version"] in version, f"{labels['org.opencontainers.image.version']} is not in {version}")


@check("without a GPU it answers, as nobody in particular, on a read-only root")
def _():
    with Container(port=18411) as container:
        expect("47 + 125 = 172." in answer(container.port))
        status = podman("exec", container.id, "cat", "/proc/1/status")
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        expect(fields["Uid"].split()[0] == "808" and int(fields["CapEff"], 16) == 0 and fields["NoNewPrivs"] == "1", status)
        expect(podman("exec", container.id, "touch", "/usr/x", ok=False) == "")


@check("its health check passes while it serves, and not when it hangs")
def _():
    # The image's own command line, in a network of its own.
    container = podman("run", *CONFINED, "--detach", "--network=none", IMAGE)
    (image,) = json.loads(podman("image", "inspect", IMAGE))
    kind, *command = (image.get("Healthcheck") or image["Config"]["Healthcheck"])["Test"]
    expect(kind == "CMD", kind)
    try:
        wait_for(lambda: run(*PODMAN, "exec", container, *command, ok=None).returncode == 0, "the health check to pass", timeout=60)
        podman("exec", container, "haloctl", "--url", "http://127.0.0.1:1", "health", ok=False)
    finally:
        podman("rm", "--force", "--time=20", container)


@check("with a GPU's devices, and no ROCm, it computes on the CPU")
def _():
    # Devices with the names that ROCm looks for, and nothing behind them.
    with Container("--device=/dev/null:/dev/kfd", "--device=/dev/null:/dev/dri/renderD128", "--group-add=105", port=18413) as container:
        expect("47 + 125 = 172." in answer(container.port))
        expect(podman("exec", container.id, "stat", "-c", "%F", "/dev/kfd") == "character special file")


@check("a wrong configuration ends it with the reason")
def _():
    config = CACHE / "wrong.yaml"
    config.write_text("http:\n  lisen: 127.0.0.1:8000\n")
    result = run(*PODMAN, "run", *CONFINED, "--rm", "--network=none", f"--volume={config}:/etc/halod/halod.yaml:ro", IMAGE, ok=False)
    expect("did you mean 'http.listen'?" in result.stdout + result.stderr, result.stdout + result.stderr)


@check("its archive is kept for the boot")
def _():
    SAVED.unlink(missing_ok=True)
    podman("save", "--format=docker-archive", f"--output={SAVED}", IMAGE)


if __name__ == "__main__":
    if os.geteuid() != 0 or not shutil.which("podman"):
        print("SKIPPED: the image cannot be built here: it needs root and podman")
        sys.exit(SKIPPED)
    in_private_namespace()
    run_all()
