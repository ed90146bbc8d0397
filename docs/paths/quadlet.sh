#!/bin/sh
# From a checkout to an answer, with podman >= 5.4 (Fedora 43, Debian 13). As root: sudo sh docs/paths/quadlet.sh
set -eu
cd "$(dirname "$0")/../.."

# 1. The image. Made here unless it is there. On Fedora's base it brings ROCm; another one: --build-arg BASE=IMAGE.
podman image exists localhost/halod:latest ||
  podman build --format docker -t localhost/halod:latest -f packaging/container/Containerfile .

# 2. The units, the user halod, the group halod-admin, D-Bus and polkit rules, /etc/halod/halod.yaml.
if [ -e /dev/kfd ]; then
  packaging/quadlet/install
else
  packaging/quadlet/install --cpu-only
fi

# 3. Start it. Returns when a model is loaded: the demo model, until another is in /var/lib/halod/models. Every boot starts it.
systemctl start halod

# 4. Ask.
curl --silent --show-error --fail http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \
  -d '{"messages": [{"role": "user", "content": "What is 47 + 125?"}], "temperature": 0}'
echo

# 5. Look at it, with the haloctl of the image.
podman exec halod haloctl --url http://127.0.0.1:8000 status
