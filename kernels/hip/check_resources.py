#!/usr/bin/env python3
"""Checks compiled GPU kernels against their rows in kernel_table.h, without a GPU, and prints a table.

    check_resources.py --readelf llvm-readelf --objdump llvm-objdump --table kernel_table.h OBJECT.gfx1151.hsaco...

Of every kernel: no scratch memory, no spilled registers, no more vector registers and no other block size than its row says, and
the instructions in it that the row names. No kernel in an object without a row, nor a row without a kernel. Exit 1 names
every violation.
"""
import argparse
import re
import subprocess
import sys
from pathlib import Path

# name, Args, family, threads, registers, shared bytes, "instructions"
ROW = re.compile(r'^\s*X\((\w+),\s*\w+,\s*\w+,\s*(\d+),\s*(\d+),\s*(.+?),\s*"([^"]*)"\)', re.MULTILINE)
# Vector registers per lane of a SIMD, and the steps in which they are given out, to 16 waves at most. gfx1100, gfx1101 and gfx1151 have
# half as many again as the others of RDNA 3 and 3.5.
LARGE_FILES, LARGE_FILE, SMALL_FILE, MOST_WAVES = {"gfx1100", "gfx1101", "gfx1151"}, (1536, 24), (1024, 16), 16


def read_table(path: Path) -> dict[str, dict]:
    rows = {match[1]: {"threads": int(match[2]), "registers": int(match[3]), "instructions": match[5].split()}
            for match in ROW.finditer(path.read_text(encoding="utf-8"))}
    if not rows:
        sys.exit(f"check_resources: no rows in {path}")
    return rows


def read_kernels(readelf: str, code_object: str) -> dict[str, dict[str, int]]:
    """The metadata that the compiler wrote for the runtime, by kernel."""
    notes = subprocess.run([readelf, "--notes", code_object], check=True, capture_output=True, text=True).stdout
    kernels = {}
    # The list of kernels is YAML, one "- " at two spaces per kernel; its own keys stand at four.
    listed = re.split(r"^amdhsa\.(?!kernels)", notes.split("amdhsa.kernels:")[1], flags=re.MULTILINE)[0]
    for entry in re.split(r"^  - ", listed, flags=re.MULTILINE)[1:]:
        keys = dict(re.findall(r"^(?:    )?(\.\w+):\s*(\S+)\s*$", entry, re.MULTILINE))
        kernels[keys[".name"].strip("'")] = {key: int(value) for key, value in keys.items() if value.isdigit()}
    return kernels


def read_instructions(objdump: str, code_object: str) -> dict[str, dict[str, int]]:
    """How often each instruction stands in each function."""
    listing = subprocess.run([objdump, "-d", code_object], check=True, capture_output=True, text=True).stdout
    functions: dict[str, dict[str, int]] = {}
    counts: dict[str, int] = {}
    for line in listing.splitlines():
        if match := re.match(r"[0-9a-f]+ <(\w+)>:", line):
            counts = functions.setdefault(match[1], {})
        elif match := re.match(r"\s+([a-z]\w+)", line):
            # Two-in-one instructions count as each half.
            for name in [match[1], *re.findall(r"::\s*(\w+)", line)]:
                counts[name] = counts.get(name, 0) + 1
    return functions


def waves(registers: int, target: str) -> int:
    total, step = LARGE_FILE if target in LARGE_FILES else SMALL_FILE
    return min(MOST_WAVES, total // (-(-max(registers, 1) // step) * step))


def check(code_object: str, table: dict[str, dict], arguments: argparse.Namespace) -> list[str]:
    target = Path(code_object).name.split(".")[-2]
    kernels = read_kernels(arguments.readelf, code_object)
    instructions = read_instructions(arguments.objdump, code_object)
    problems = [f"{target}: {name} has no row in the table" for name in kernels if name not in table]
    problems += [f"{target}: {name} is missing" for name in table if name not in kernels]
    print(f"{target:<20}{'VGPRs':>7}{'limit':>7}{'SGPRs':>7}{'waves':>7}{'scratch':>9}{'spills':>8}  instructions")
    for name, row in table.items():
        if name not in kernels:
            continue
        kernel = kernels[name]
        spills = kernel[".sgpr_spill_count"] + kernel[".vgpr_spill_count"]
        found = {wanted: instructions[name].get(wanted, 0) for wanted in row["instructions"]}
        flat = sum(n for opcode, n in instructions[name].items() if opcode.startswith("flat_"))
        print(f"  {name:<18}{kernel['.vgpr_count']:>7}{row['registers']:>7}{kernel['.sgpr_count']:>7}"
              f"{waves(kernel['.vgpr_count'], target):>7}{kernel['.private_segment_fixed_size']:>9}{spills:>8}  "
              + ", ".join(f"{count} {opcode}" for opcode, count in found.items()))
        if kernel[".vgpr_count"] > row["registers"]:
            problems.append(f"{target}: {name} takes {kernel['.vgpr_count']} vector registers, its row allows {row['registers']}")
        if kernel[".private_segment_fixed_size"] > 0:
            problems.append(f"{target}: {name} takes {kernel['.private_segment_fixed_size']} bytes of scratch memory")
        if spills > 0:
            problems.append(f"{target}: {name} spills {spills} registers")
        if kernel[".max_flat_workgroup_size"] != row["threads"]:
            problems.append(f"{target}: {name} is compiled for {kernel['.max_flat_workgroup_size']} threads, its row says {row['threads']}")
        if kernel[".wavefront_size"] != 32:
            problems.append(f"{target}: {name} is compiled for waves of {kernel['.wavefront_size']}, the dialect's have 32 lanes")
        if flat > 0:
            problems.append(f"{target}: {name} has {flat} flat accesses: the compiler does not know which memory they go to")
        problems += [f"{target}: {name} has no {opcode}" for opcode, count in found.items() if count == 0]
    return problems


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--readelf", required=True)
    parser.add_argument("--objdump", required=True)
    parser.add_argument("--table", type=Path, required=True)
    parser.add_argument("objects", nargs="+")
    arguments = parser.parse_args()
    table = read_table(arguments.table)
    problems = [problem for code_object in arguments.objects for problem in check(code_object, table, arguments)]
    for problem in problems:
        print(f"check_resources: {problem}", file=sys.stderr)
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
