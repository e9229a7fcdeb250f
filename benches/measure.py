"""How benches/run measures, and the tables that it prints."""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys

import scene

ENVIRONMENT = {"PATH": os.environ["PATH"], "HOME": "/nonexistent"}
DOCUMENT = scene.REPOSITORY / "docs/performance.md"
# What is executed where instructions are counted: no program, for those of a program are not introspod's.
NO_PROGRAM = "/etc/passwd"


class Command:
    """What is started: words, the environment, and the root directory, if it is not this machine's."""

    def __init__(self, *words, environment=ENVIRONMENT, root=None):
        self.words = [str(word) for word in words]
        if not root:
            self.words[0] = shutil.which(self.words[0]) or sys.exit(f"{self.words[0]} is not in PATH")
        self.environment = environment
        self.root = root and str(root)

    def request(self):
        return {"words": self.words, "environment": self.environment, "root": self.root}

    def instructions(self):
        """Instructions in user space, those of all children included. Not below another root directory."""
        ended = subprocess.run(["valgrind", "--tool=callgrind", "--trace-children=yes", "--callgrind-out-file=/dev/null",
                                *self.words], env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        return sum(map(int, re.findall(rb"Collected : (\d+)", ended.stderr)))

    def usage(self):
        """The greatest resident set in KiB, not less than time(1)'s own of 1 MiB, and the CPU time in seconds."""
        enter = ["chroot", self.root] if self.root else []
        ended = subprocess.run(["/usr/bin/time", "--quiet", "--format=\n%M %U %S", *enter, *self.words],
                               env=self.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        peak, user, system = ended.stderr.split()[-3:]
        return int(peak), float(user) + float(system)


class Times:
    """Milliseconds of all starts of one command."""

    def __init__(self, nanoseconds):
        ordered = sorted(time / 1e6 for time in nanoseconds)
        self.least = ordered[0]
        self.fifth = ordered[len(ordered) // 20]
        self.median = statistics.median(ordered)


def in_turns(runs, commands):
    """The times of each command, started by benches/turns."""
    request = {"runs": runs, "commands": [command.request() for command in commands]}
    ended = subprocess.run([scene.REPOSITORY / "benches/turns"], input=json.dumps(request), stdout=subprocess.PIPE, text=True)
    if ended.returncode:
        sys.exit(f"benches/turns: {ended.stdout}")
    return [Times(nanoseconds) for nanoseconds in json.loads(ended.stdout)]


def show(name, text, is_documented):
    """Prints a part of the results, and puts it between the marks of that name in docs/performance.md."""
    print(f"## {name}\n\n{text}", flush=True)
    if is_documented:
        page = DOCUMENT.read_text()
        begin, end = f"<!-- benches/run: {name} -->\n", f"<!-- end of {name} -->"
        before, rest = page.split(begin, 1)
        DOCUMENT.write_text(f"{before}{begin}\n{text}\n{end}{rest.split(end, 1)[1]}")


def table(head, rows):
    """A table in Markdown."""
    return "\n".join(f"| {' | '.join(row)} |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def compare(runs, rows, base, floor=None):
    """Times by name, and a table of them. A row is a name, a command, and the command whose instructions are counted, or None."""
    times = dict(zip((name for name, *_ in rows), in_turns(runs, [command for _, command, _ in rows])))
    head = ["", "5 % take less", "median", "least", f"by {base}"]
    head += [f"above {floor}", f"the same, by {base}"] if floor else []
    lines = []
    for name, command, counted in rows:
        row = times[name]
        line = [name, f"{row.fifth:.2f} ms", f"{row.median:.2f} ms", f"{row.least:.2f} ms", f"{row.fifth / times[base].fifth:.2f}"]
        if floor:
            line += [f"{row.fifth - times[floor].fifth:.2f} ms", f"{above(times, name, floor, base):.2f}"]
        line += [f"{command.usage()[0]:,} KiB", f"{counted.instructions():,}" if counted else "–"]
        lines.append(line)
    return times, table([*head, "peak memory", "instructions"], lines)


def above(times, name, floor, base):
    """What `name` takes above `floor`, by what `base` takes above it."""
    return (times[name].fifth - times[floor].fifth) / (times[base].fifth - times[floor].fifth)


class Growth:
    """A table of how time, instructions and memory grow with a count."""

    def __init__(self, runs):
        self.runs = runs
        self.lines = []
        self.times = {}

    def add(self, what, cases):
        """Each case is a count, the command that is started, and the one whose instructions are counted."""
        counts = [count for count, _, _ in cases]
        times = in_turns(self.runs, [command for _, command, _ in cases])
        instructions = [counted.instructions() for _, _, counted in cases]
        self.times[what] = dict(zip(counts, times))
        slopes = [(more - less) / (many - few) for few, many, less, more
                  in zip(counts, counts[1:], instructions, instructions[1:])]
        for place, (count, command, _) in enumerate(cases):
            each = [f"{slopes[place - 1]:,.0f}", f"{slopes[place - 1] / slopes[0]:.2f}"] if place else ["", ""]
            self.lines.append([f"{count:,} {what}", f"{times[place].fifth:.2f} ms", f"{instructions[place]:,}", *each,
                               f"{command.usage()[0]:,} KiB"])

    def table(self):
        head = ["", "5 % take less", "instructions", "for one more", "by the first such figure", "peak memory"]
        return table(head, self.lines)
