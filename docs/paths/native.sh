#!/bin/sh
# From a checkout to an answer, with packages of Debian, Ubuntu or Fedora. As root: sudo sh docs/paths/native.sh
set -eu
cd "$(dirname "$0")/../.."

# 1. The packages of this machine's distribution: halod, haloctl, halod-bench. Made here unless they are there.
ls build/cpu-release/packages/haloctl[-_]* >/dev/null 2>&1 || make package

# 2. Install them. This makes the user halod, the group halod-admin and /etc/halod/halod.yaml.
if command -v apt-get >/dev/null; then
  apt-get install -y ./build/cpu-release/packages/*.deb
else
  dnf install -y ./build/cpu-release/packages/*.rpm
fi

# 3. Start it now and at every boot. Returns when a model is loaded: the demo model, until another is there.
systemctl enable --now halod

# 4. Ask.
curl --silent --show-error --fail http://127.0.0.1:8000/v1/chat/completions -H 'Content-Type: application/json' \
  -d '{"messages": [{"role": "user", "content": "What is 47 + 125?"}], "temperature": 0}'
echo

# 5. Look at it. Change what it does with `haloctl pull`, `load` and `swap`.
haloctl status
