#!/bin/sh
# From a checkout to an answer on other machines, by Ansible (ansible-core >= 2.14 on this one; on those Python, and ssh as root by key):
#   sh docs/paths/ansible.sh HOST...
set -eu
[ $# -gt 0 ] || { echo "usage: sh docs/paths/ansible.sh HOST..., the first of which is the canary of every rollout" >&2; exit 2; }
cd "$(dirname "$0")/../.."
checkout=$PWD
fleet=$HOME/halod-fleet

# 1. The packages. Made here unless they are there, so this machine has the distribution of the hosts.
ls build/cpu-release/packages/haloctl[-_]* >/dev/null 2>&1 || make package

# 2. The collection halod.fleet.
ansible-galaxy collection install --force ./ansible

# 3. An inventory of your own, with a key for clients in a vault. It is not touched again. ansible/inventory/example has more to choose from.
mkdir -p "$fleet/group_vars/halod" && cd "$fleet"
if [ ! -e hosts.yml ]; then
  umask 077
  head -c 24 /dev/urandom | base64 >vault-password
  echo "vault_halod_api_keys: [$(head -c 24 /dev/urandom | base64 | tr '/+' '_-')]" >group_vars/halod/vault.yml
  ansible-vault encrypt --vault-password-file vault-password group_vars/halod/vault.yml
  cat >group_vars/halod/main.yml <<END
halod_package_files: "{{ query('fileglob', '$checkout/build/cpu-release/packages/*.' ~ ('deb' if ansible_facts.os_family == 'Debian' else 'rpm')) }}"
halod_listen: 0.0.0.0:8000
halod_api_keys: "{{ vault_halod_api_keys }}"
END
  {
    echo "halod:"
    echo "  vars: {ansible_user: root}"
    echo "  hosts:"
    printf '    "%s":\n' "$@"
  } >hosts.yml
fi

# 4. What it would do; then do it. Kernel arguments wait for a reboot that you allow: kernel_args_reboot_allowed.
ansible-playbook -i hosts.yml --vault-password-file vault-password halod.fleet.site --check --diff
ansible-playbook -i hosts.yml --vault-password-file vault-password halod.fleet.site

# 5. Ask the first host.
key=$(ansible-vault view --vault-password-file vault-password group_vars/halod/vault.yml | sed -n 's/^vault_halod_api_keys: \[\(.*\)\]$/\1/p')
curl --silent --show-error --fail "http://$1:8000/v1/chat/completions" -H "Authorization: Bearer $key" -H 'Content-Type: application/json' \
  -d '{"messages": [{"role": "user", "content": "What is 47 + 125?"}], "temperature": 0}'
echo
