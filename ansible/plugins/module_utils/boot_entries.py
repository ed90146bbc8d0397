# Copyright: (c) 2026, halod developers
# Apache-2.0 (see LICENSE)
"""Where each kind of machine keeps the kernel's arguments.

A store has read() -> {place: [arguments]} and write(wanted: {place: [arguments]}), which changes what differs. Paths are below
`root`; programs are found in PATH.
"""
from __future__ import absolute_import, division, print_function
__metaclass__ = type

import glob
import os
import re

from ansible_collections.halod.fleet.plugins.module_utils.kernel_command_line import apply, name_of, split, unwanted


class StoreError(Exception):
    """The arguments cannot be stored, with the reason and the remedy."""


class Store(object):
    """REQUIRES: what `read` returned is passed on to `wanted` before anything else changes the machine."""
    name = ''

    def __init__(self, module):
        self.module = module
        self.root = module.params['root']

    def path(self, path):
        return os.path.join(self.root, path.lstrip('/'))

    def text_of(self, path):
        with open(self.path(path)) as file:
            return file.read()

    def replace(self, path, text):
        """Whole or not at all, with the mode and the owner that it had."""
        new = self.path(path) + '.halod-new'
        if not os.path.isdir(os.path.dirname(new)):
            os.makedirs(os.path.dirname(new))
        with open(new, 'w') as file:
            file.write(text)
        self.module.atomic_move(new, self.path(path))

    def has(self, program):
        return self.module.get_bin_path(program) is not None

    def run(self, *command):
        status, out, error = self.module.run_command(list(command))
        if status != 0:
            raise StoreError('%s: exit status %d: %s' % (' '.join(command), status, (error or out).strip()))
        return out

    def wanted(self, current, present, absent):
        return dict((place, apply(arguments, present, absent)) for place, arguments in current.items())


class Grubby(Store):
    """Fedora and its kin. Every boot entry is brought to what is asked for, and what new kernels will get."""
    name = 'grubby'
    for_new_kernels = '/etc/kernel/cmdline'

    def read(self):
        entries = {}
        for block in re.split(r'^index=', self.run('grubby', '--info=ALL'), flags=re.M)[1:]:
            kernel = re.search(r'^kernel="?([^"\n]+)"?$', block, re.M)
            arguments = re.search(r'^args="(.*)"$', block, re.M)
            # Entries without a kernel (other systems) have no arguments.
            if kernel and arguments:
                entries['entry %s %s' % (block.split('\n', 1)[0].strip(), kernel.group(1))] = split(arguments.group(1))
        if not entries:
            raise StoreError('grubby --info=ALL lists no boot entry with arguments')
        if os.path.exists(self.path(self.for_new_kernels)):
            entries[self.for_new_kernels] = split(self.text_of(self.for_new_kernels))
        return entries

    def write(self, current, wanted):
        removed, added = [], []
        for place in current:
            removed += [item for item in current[place] if item not in wanted[place] and item not in removed]
            added += [item for item in wanted[place] if item not in current[place] and item not in added]
        command = ['grubby', '--update-kernel=ALL']
        if removed:
            command.append('--remove-args=' + ' '.join(removed))
        if added:
            command.append('--args=' + ' '.join(added))
        self.run(*command)
        # Some releases of grubby write this file too, others leave it.
        if self.for_new_kernels in wanted and split(self.text_of(self.for_new_kernels)) != wanted[self.for_new_kernels]:
            self.replace(self.for_new_kernels, ' '.join(wanted[self.for_new_kernels]) + '\n')


class RpmOstree(Store):
    """Image-based Fedora, bootc machines too where they have rpm-ostree. Shows and changes the deployment that boots next."""
    name = 'rpm_ostree'

    def read(self):
        return {'rpm-ostree kargs': split(self.run('rpm-ostree', 'kargs'))}

    def write(self, current, wanted):
        old, new = current['rpm-ostree kargs'], wanted['rpm-ostree kargs']
        self.run('rpm-ostree', 'kargs', *(['--delete-if-present=' + item for item in old if item not in new] +
                                          ['--append-if-missing=' + item for item in new if item not in old]))


class KernelInstall(Store):
    """systemd-boot and unified kernel images: one file, from which kernel-install makes each kernel's entry."""
    name = 'kernel_install'
    file = '/etc/kernel/cmdline'

    def read(self):
        if os.path.exists(self.path(self.file)):
            return {self.file: split(self.text_of(self.file))}
        # Without the file, kernel-install takes the running kernel's, less what the boot loader adds.
        running = split(self.text_of('/proc/cmdline'))
        return {self.file: [item for item in running if name_of(item) not in ('BOOT_IMAGE', 'initrd')]}

    def write(self, current, wanted):
        self.replace(self.file, ' '.join(wanted[self.file]) + '\n')
        for version, image in self.kernels():
            self.run('kernel-install', 'add', version, image)

    def kernels(self):
        found = []
        for modules in sorted(glob.glob(self.path('/usr/lib/modules/*'))):
            version = os.path.basename(modules)
            images = [image for image in (os.path.join(modules, 'vmlinuz'), self.path('/boot/vmlinuz-' + version)) if os.path.exists(image)]
            if images:
                found.append((version, images[0]))
        if not found:
            raise StoreError('no kernel in %s, so kernel-install has nothing to make boot entries for' % self.path('/usr/lib/modules'))
        return found


class GrubDefault(Store):
    """Debian and Ubuntu: /etc/default/grub, from which update-grub makes the menu."""
    name = 'grub_default'
    file = '/etc/default/grub'
    common, default = 'GRUB_CMDLINE_LINUX', 'GRUB_CMDLINE_LINUX_DEFAULT'

    @staticmethod
    def assignment(variable):
        return re.compile(r'^[ \t]*%s=(?:"(?P<double>[^"\n]*)"|\'(?P<single>[^\'\n]*)\'|(?P<bare>[^\s"\']*))[ \t]*(?:#.*)?$' % variable, re.M)

    def read(self):
        text = self.text_of(self.file)
        values = {}
        for variable in (self.common, self.default):
            found = list(self.assignment(variable).finditer(text))
            # The shell takes the last one.
            value = next((part for part in found[-1].groups() if part is not None), '') if found else ''
            values[variable] = split(value.replace('\\"', '"'))
        return values

    def wanted(self, current, present, absent):
        """What is right among the arguments of all entries stays there; the rest goes to the normal ones: rescue boots plainly."""
        common = [item for item in current[self.common] if not unwanted(item, present, absent)]
        return {self.common: common,
                self.default: apply(current[self.default], [item for item in present if item not in common], absent)}

    def write(self, current, wanted):
        text = self.text_of(self.file)
        for variable in (self.common, self.default):
            if current[variable] == wanted[variable]:
                continue
            line = '%s="%s"' % (variable, ' '.join(wanted[variable]).replace('"', '\\"'))
            found = list(self.assignment(variable).finditer(text))
            if found:
                text = text[:found[-1].start()] + line + text[found[-1].end():]
            else:
                text = text.rstrip('\n') + '\n' + line + '\n'
        self.replace(self.file, text)
        self.run(*self.menu_command())
        self.check_menu(wanted[self.common] + wanted[self.default])

    def menu_command(self):
        if self.has('update-grub'):
            return ['update-grub']
        for program, menu in (('grub2-mkconfig', '/boot/grub2/grub.cfg'), ('grub-mkconfig', '/boot/grub/grub.cfg')):
            if self.has(program):
                return [program, '-o', self.path(menu)]
        raise StoreError('/etc/default/grub is there, but neither update-grub nor grub-mkconfig is')

    def check_menu(self, wanted):
        """Files in /etc/default/grub.d come after /etc/default/grub and can undo it, as those of cloud images do."""
        for menu in ('/boot/grub/grub.cfg', '/boot/grub2/grub.cfg'):
            if not os.path.exists(self.path(menu)):
                continue
            lines = [split(line) for line in self.text_of(menu).splitlines() if re.match(r'\s*linux(efi|16)?\s', line)]
            normal = [line for line in lines if not {'single', 'recovery'} & set(line)]
            missing = [item for item in wanted if normal and not any(item in line for line in normal)]
            if missing:
                raise StoreError('%s was made anew and lacks %s: does a file in %s set %s?' %
                                 (self.path(menu), ' '.join(missing), self.path('/etc/default/grub.d'), self.default))


STORES = (Grubby, RpmOstree, KernelInstall, GrubDefault)


def choose_store(module):
    """The store that params['backend'] names, or the one that this machine boots from."""
    by_name = dict((store.name, store) for store in STORES)
    if module.params['backend'] != 'auto':
        return by_name[module.params['backend']](module)
    probe = Store(module)
    if os.path.exists(probe.path('/run/ostree-booted')):
        if not probe.has('rpm-ostree'):
            raise StoreError('this is an image-based machine without rpm-ostree: put the arguments into its image, '
                             'as kargs = [...] of a file /usr/lib/bootc/kargs.d/50-halod.toml')
        return RpmOstree(module)
    if probe.has('grubby'):
        return Grubby(module)
    if os.path.exists(probe.path('/etc/default/grub')) and any(probe.has(name) for name in ('update-grub', 'grub2-mkconfig', 'grub-mkconfig')):
        return GrubDefault(module)
    if probe.has('kernel-install'):
        return KernelInstall(module)
    raise StoreError('found no way to set kernel arguments on this machine: no rpm-ostree, grubby, GRUB with /etc/default/grub, '
                     'or kernel-install')
