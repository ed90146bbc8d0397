"""What the modules compute, without Ansible around it."""
import json
import sys

from checks import check, expect, temporary_folder
from playbook import Ansible, with_role  # noqa: F401


def command_line():
    sys.path.insert(0, str(__import__("playbook").COLLECTION / "plugins/module_utils"))
    import kernel_command_line
    return kernel_command_line


@check("modules: arguments that nobody named keep their place, number and quotes")
def _():
    lines = command_line()
    current = lines.split('ro console=tty0 console=ttyS0 rd.lvm.lv=a rd.lvm.lv=b dyndbg="file a +p" iommu=soft quiet')
    expect(len(current) == 8, str(current))
    wanted = lines.apply(current, ["iommu=pt", "quiet"], ["amd_iommu"])
    expect(wanted == ["ro", "console=tty0", "console=ttyS0", "rd.lvm.lv=a", "rd.lvm.lv=b", 'dyndbg="file a +p"', "quiet", "iommu=pt"], str(wanted))
    expect(lines.apply(wanted, ["iommu=pt", "quiet"], ["amd_iommu"]) == wanted, "a second time changes something")


@check("modules: absent takes a name with every value, or one value, and - is _")
def _():
    lines = command_line()
    expect(lines.apply(["amd_iommu=off", "a=1", "a=2", "ttm.page-pool_size=1"], [], ["amd_iommu", "a=2", "ttm.page_pool-size"]) == ["a=1"])
    expect(lines.differences(["iommu=soft"], ["iommu=pt"], []) == ["+iommu=pt", "-iommu=soft"])
    expect(lines.problem_with(["a b"], []) and lines.problem_with(["a=1"], ["a"]) and lines.problem_with(["=1"], []))
    expect(not lines.problem_with(["a=1", 'b="x y"'], ["a=2"]), lines.problem_with(["a=1", 'b="x y"'], ["a=2"]))


@check("modules: model_files tells right from wrong and missing, and reads what has changed once")
def _():
    import hashlib
    text = b"weights" * 1000
    right = hashlib.sha256(text).hexdigest()
    with temporary_folder() as folder:
        models = folder / "models"
        (models / "org").mkdir(parents=True)
        for name in ("a.gguf", "org/b.gguf", "short.gguf"):
            (models / name).write_bytes(text)
        (models / "short.gguf").write_bytes(text[:-1])
        files = [{"path": "a.gguf", "sha256": right, "bytes": len(text)}, {"path": "org/b.gguf", "sha256": "0" * 64, "bytes": len(text)},
                 {"path": "short.gguf", "sha256": right, "bytes": len(text)}, {"path": "new.gguf", "sha256": right, "bytes": 5}]
        bad = {"outside": [{"path": "../x"}], "short sum": [{"path": "x", "sha256": "abc"}], "twice": [{"path": "x"}, {"path": "x"}]}
        ansible = Ansible(folder, {"local": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}})
        task = {"halod.fleet.model_files": {"directory": str(models), "files": files}}
        tasks = [{**task, "register": "first"}, {"ansible.builtin.command": {"argv": ["touch", "-d", "2020-01-01", str(models / "a.gguf")]}}, task]
        tasks += [{"halod.fleet.model_files": {"directory": str(models), "files": rows}, "ignore_errors": True} for rows in bad.values()]
        run = ansible.run([{"hosts": "all", "gather_facts": False, "tasks": tasks}])
        results = [row["result"] for row in run.rows]
        expect(len(results) == 6, run.output)
        for found in (results[0], results[2]):
            expect((found["right"], found["wrong"], found["missing"]) == (["a.gguf"], ["org/b.gguf", "short.gguf"], ["new.gguf"]), str(found))
            expect(found["needed_bytes"] == 2 * len(text) + 5 and found["free_bytes"] > 0, str(found))
        kept = json.loads((models / ".checksums.json").read_text())
        expect(set(kept) == {"a.gguf", "org/b.gguf"} and kept["a.gguf"][2] == right, str(kept))
        for name, row in zip(bad, run.rows[3:]):
            expect(row["outcome"] == "ignored" and row["result"]["msg"], f"{name} was accepted: {row}")
