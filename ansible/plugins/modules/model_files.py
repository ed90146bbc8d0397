#!/usr/bin/python
# Copyright: (c) 2026, halod developers
# Apache-2.0 (see LICENSE)
from __future__ import absolute_import, division, print_function
__metaclass__ = type

DOCUMENTATION = r'''
---
module: model_files
short_description: Tell which model files are there, right, wrong or missing, and whether there is room for the rest
version_added: 1.0.0
description:
  - Holds files against their SHA-256 and length. A file is read once; its checksum is then kept in C(.checksums.json) beside the models
    and believed for as long as length and modification time stay.
  - Changes no model.
options:
  directory:
    description: The folder that paths are relative to. Need not exist.
    type: path
    required: true
  files:
    description: The files that are wanted.
    type: list
    elements: dict
    required: true
    suboptions:
      path:
        description: Below the directory.
        type: str
        required: true
      sha256:
        description: Its checksum in hexadecimal. Without it, any file of the right length is right.
        type: str
        default: ''
      bytes:
        description: Its length, where known; 0 where not.
        type: int
        default: 0
  reread:
    description: Read every file again, whatever is kept.
    type: bool
    default: false
author:
  - halod developers (@halod)
attributes:
  check_mode:
    support: full
    description: Changes nothing in any mode, except that checksums are not kept in check mode.
  diff_mode:
    support: none
    description: There is nothing to show.
'''

EXAMPLES = r'''
- name: Look which models are there
  halod.fleet.model_files:
    directory: /var/lib/halod/models
    files:
      - path: qwen3-30b-a3b-q4_k_m.gguf
        sha256: 9f1a24700a339b09c06009b729b5c809e0b64c213b8af5b711b3dbdfd0c5ba48
        bytes: 18632184544
  register: model_files_found
'''

RETURN = r'''
missing:
  description: Paths of the files that are not there.
  returned: success
  type: list
  elements: str
wrong:
  description: Paths of the files whose length or checksum is another.
  returned: success
  type: list
  elements: str
right:
  description: Paths of the files that are as they should be.
  returned: success
  type: list
  elements: str
needed_bytes:
  description: What the files that are missing or wrong will take, as far as their lengths are known. Wrong ones stay until they are replaced.
  returned: success
  type: int
free_bytes:
  description: What the file system of the directory, or of its nearest parent that exists, has free.
  returned: success
  type: int
'''

import hashlib
import json
import os

from ansible.module_utils.basic import AnsibleModule

KEPT = '.checksums.json'
PIECE = 1 << 22


def sha256_of(path):
    digest = hashlib.sha256()
    with open(path, 'rb') as file:
        for piece in iter(lambda: file.read(PIECE), b''):
            digest.update(piece)
    return digest.hexdigest()


class Checksums(object):
    """Those of files that were read before. What cannot be read is as if there were nothing."""

    def __init__(self, directory, forget):
        self.directory = directory
        self.changed = False
        self.rows = {}
        try:
            with open(os.path.join(directory, KEPT)) as file:
                rows = json.load(file)
            self.rows = rows if isinstance(rows, dict) and not forget else {}
        except (EnvironmentError, ValueError):
            pass

    def of(self, path):
        status = os.stat(os.path.join(self.directory, path))
        stamp = [status.st_size, status.st_mtime_ns]
        row = self.rows.get(path)
        if not isinstance(row, list) or row[:2] != stamp:
            row = stamp + [sha256_of(os.path.join(self.directory, path))]
            self.rows[path], self.changed = row, True
        return row[2]

    def keep(self):
        path = os.path.join(self.directory, KEPT)
        rows = dict((name, row) for name, row in self.rows.items() if os.path.exists(os.path.join(self.directory, name)))
        with open(path + '.new', 'w') as file:
            json.dump(rows, file, indent=1, sort_keys=True)
        os.rename(path + '.new', path)


def state_of(file, directory, checksums):
    path = os.path.join(directory, file['path'])
    if not os.path.isfile(path):
        return 'missing'
    if file['bytes'] and os.path.getsize(path) != file['bytes']:
        return 'wrong'
    if file['sha256'] and checksums.of(file['path']) != file['sha256'].lower():
        return 'wrong'
    return 'right'


def free_bytes(directory):
    while not os.path.isdir(directory):
        directory = os.path.dirname(directory)
    system = os.statvfs(directory)
    return system.f_bavail * system.f_frsize


def problem_with(files):
    for file in files:
        path = file['path']
        if os.path.isabs(path) or '..' in path.split('/') or os.path.normpath(path) != path:
            return '%r is not a path below the models directory' % path
        digits = file['sha256'].lower()
        if digits and (len(digits) != 64 or set(digits) - set('0123456789abcdef')):
            return 'the sha256 of %s has %d characters; a SHA-256 is 64 hexadecimal digits' % (path, len(digits))
    paths = [file['path'] for file in files]
    twice = sorted(set(path for path in paths if paths.count(path) > 1))
    return '%s is listed %d times' % (twice[0], paths.count(twice[0])) if twice else ''


def main():
    module = AnsibleModule(
        dict(directory=dict(type='path', required=True),
             files=dict(type='list', elements='dict', required=True,
                        options=dict(path=dict(type='str', required=True), sha256=dict(type='str', default=''),
                                     bytes=dict(type='int', default=0))),
             reread=dict(type='bool', default=False)),
        supports_check_mode=True)
    directory, files = module.params['directory'], module.params['files']
    problem = problem_with(files)
    if problem:
        module.fail_json(msg=problem)
    checksums = Checksums(directory, module.params['reread'])
    try:
        found = dict(missing=[], wrong=[], right=[])
        for file in files:
            found[state_of(file, directory, checksums)].append(file['path'])
        if checksums.changed and not module.check_mode:
            checksums.keep()
        needed = sum(file['bytes'] for file in files if file['path'] not in found['right'])
        module.exit_json(changed=False, needed_bytes=needed, free_bytes=free_bytes(directory), **found)
    except EnvironmentError as error:
        module.fail_json(msg=str(error))


if __name__ == '__main__':
    main()
