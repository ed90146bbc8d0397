#!/usr/bin/python
# Copyright: (c) 2026, halod developers
# Apache-2.0 (see LICENSE)
from __future__ import absolute_import, division, print_function
__metaclass__ = type

DOCUMENTATION = r'''
---
module: kernel_args
short_description: Manage the kernel's command line, and tell whether the running kernel has it
version_added: 1.0.0
description:
  - Adds, replaces and removes kernel arguments through grubby, rpm-ostree, C(/etc/kernel/cmdline) with kernel-install, or
    C(/etc/default/grub).
  - Arguments that are not named are left alone.
  - Reboots nothing. C(reboot_required) compares with the running kernel each time, so a reboot that was put off is not forgotten.
options:
  present:
    description: Arguments that must be there, C(name) or C(name=value). Other values of the same name are removed.
    type: list
    elements: str
    default: []
  absent:
    description: Arguments that must not be there, C(name) (whatever its value) or C(name=value).
    type: list
    elements: str
    default: []
  backend:
    description: Where the arguments are stored. C(auto) takes what this machine boots from.
    type: str
    choices: [auto, grubby, rpm_ostree, kernel_install, grub_default]
    default: auto
  root:
    description: Prefix of the files that are read and written, for machines that are simulated.
    type: path
    default: /
author:
  - halod developers (@halod)
attributes:
  check_mode:
    support: full
    description: Reports what would change.
  diff_mode:
    support: full
    description: Shows the arguments of every boot entry before and after.
'''

EXAMPLES = r'''
- name: Let the GPU map 120 GiB
  halod.fleet.kernel_args:
    present: [iommu=pt, ttm.pages_limit=31457280]
    absent: [amdgpu.gttsize]
'''

RETURN = r'''
backend:
  description: Where the arguments are stored.
  returned: success
  type: str
reboot_required:
  description: Whether the running kernel was started with other arguments.
  returned: success
  type: bool
pending:
  description: What a reboot would change, C(+argument) and C(-argument).
  returned: success
  type: list
  elements: str
'''

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.halod.fleet.plugins.module_utils.boot_entries import StoreError, choose_store
from ansible_collections.halod.fleet.plugins.module_utils.kernel_command_line import differences, problem_with, split


def as_text(entries):
    return ''.join('%s: %s\n' % (place, ' '.join(arguments)) for place, arguments in sorted(entries.items()))


def manage(module):
    present, absent = module.params['present'], module.params['absent']
    problem = problem_with(present, absent)
    if problem:
        raise StoreError(problem)
    store = choose_store(module)
    current = store.read()
    wanted = store.wanted(current, present, absent)
    if current != wanted and not module.check_mode:
        store.write(current, wanted)
        stored = store.read()
        # Their order is the tool's business.
        if dict((place, sorted(items)) for place, items in stored.items()) != dict((place, sorted(items)) for place, items in wanted.items()):
            raise StoreError('%s took the change, but has not stored it:\n%s' % (store.name, as_text(stored)))
    pending = differences(split(store.text_of('/proc/cmdline')), present, absent)
    return dict(changed=current != wanted, backend=store.name, reboot_required=bool(pending), pending=pending,
                diff=dict(before=as_text(current), after=as_text(wanted)))


def main():
    module = AnsibleModule(
        dict(present=dict(type='list', elements='str', default=[]),
             absent=dict(type='list', elements='str', default=[]),
             backend=dict(type='str', default='auto', choices=['auto', 'grubby', 'rpm_ostree', 'kernel_install', 'grub_default']),
             root=dict(type='path', default='/')),
        supports_check_mode=True)
    try:
        module.exit_json(**manage(module))
    except (StoreError, EnvironmentError) as error:
        module.fail_json(msg=str(error))


if __name__ == '__main__':
    main()
