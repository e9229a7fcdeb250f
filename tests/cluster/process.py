"""The application is what the container runtime started: PID 1, signals, exit codes."""

from kubectl import Failed, ended, running
from manifests import INTROSPOD, reserve

UNREACHABLE = "--api-url=https://127.0.0.1:9"
"""An API server that is not there: introspod tries again until its time is up."""

ON_TERM = "trap 'echo got TERM; exit 7' TERM; while :; do sleep 3600 & wait $!; done"

EXIT_CODES = {
    "is-0": (0, ["exec", "--", "true"]),
    "is-42": (42, ["exec", "--", "sh", "-c", "exit 42"]),
    "not-found": (127, ["exec", "--", "no-such-command"]),
    "not-executable": (126, ["exec", "--", "/etc/hosts"]),
    "unknown-variable": (125, ["exec", "--require=NO_SUCH_VARIABLE", "--", "true"]),
    "unknown-option": (125, ["exec", "--no-such-option", "--", "true"]),
    "no-command": (125, ["exec"]),
    "no-directory": (125, ["exec", "--out=/no/such/directory/pod.json", "--", "true"]),
    "write-fails": (1, ["write", "--out=/no/such/directory/pod.json"]),
    "write-usage": (2, ["write"]),
    "no-subcommand": (2, ["frobnicate"]),
}
"""Exit codes that the README promises: pod -> (code, words after `introspod`)."""

SIGNALS = {
    "killed": (137, "kill -KILL $$"),
    "terminated": (143, "kill -TERM $$; sleep 5"),
    "faulted": (139, "kill -SEGV $$; sleep 5"),
}
"""How an application may end: pod -> (code, shell script)."""

PID_1 = "the application is PID 1, and introspod has left nothing behind"
TERM = "SIGTERM reaches the application"
WAITING = "SIGTERM ends introspod while it waits for the API server"
DISABLED = "INTROSPOD_DISABLED=1 executes the command at once"
OUT_OF_MEMORY = "a container that runs out of memory is shown as OOMKilled"


class Process:
    """The part of the tests that looks at processes."""

    def __init__(self, run):
        self.maker, self.report, self.ns = run.maker, run.report, run.namespace
        self.report.expect(
            PID_1, TERM, WAITING, DISABLED, OUT_OF_MEMORY, *map(_check, [*EXIT_CODES, *SIGNALS])
        )

    def start(self):
        """Creates all pods."""
        make, run = self._pod, self.maker.exec
        pods = [make(name, [INTROSPOD, *words]) for name, (_, words) in EXIT_CODES.items()]
        # A process cannot send itself SIGKILL as PID 1: there it is another one.
        pods += [
            make(name, run("sh", "-c", script.replace("$$", "$$$$")), shareProcessNamespace=True)
            for name, (_, script) in SIGNALS.items()
        ]
        pods += [
            make("with-introspod", run("sh", "-c", ON_TERM)),
            make("without", ["sh", "-c", ON_TERM]),
            make("waiting", run("true", options=["--api=always", UNREACHABLE, "--timeout=100s"])),
            make(
                "disabled",
                run("sh", "-c", "echo $POD_NAME.", options=["--require=NO_SUCH_VARIABLE"]),
                env=[{"name": "INTROSPOD_DISABLED", "value": "1"}],
            ),
            make("out-of-memory", run("tail", "/dev/zero"), resources=reserve("500m", "5m", "20Mi", "10Mi")),
        ]
        self.ns.create(*pods)

    def compare(self):
        """Looks at all of them."""
        self._attempt(PID_1, self._pid_1)
        self._attempt(TERM, self._term)
        self._attempt(WAITING, self._waiting)
        self._attempt(DISABLED, self._disabled)
        self._attempt(OUT_OF_MEMORY, self._out_of_memory)
        codes = {name: code for name, (code, _) in {**EXIT_CODES, **SIGNALS}.items()}
        for name, code in codes.items():
            self._attempt(_check(name), lambda name=name, code=code: self._exit_code(name, code))

    def _pod(self, name, command, resources=None, env=(), **more):
        container = self.maker.container(
            command=command,
            env=list(env),
            resources=resources or {},
            terminationMessagePolicy="FallbackToLogsOnError",
        )
        return self.maker.pod(name, self.maker.spec(container, restartPolicy="Never", **more))

    def _attempt(self, check, look):
        try:
            why = look()
            self.report.check(check, not why, why or "")
        except Failed as error:
            self.report.check(check, False, error)

    def _status(self, pod):
        done = self.ns.exec(
            pod,
            "main",
            "sh",
            "-c",
            "cat /proc/1/cmdline | tr '\\0' ' '; echo; grep -E '^Sig(Ign|Blk|Cgt)' /proc/1/status; "
            "for exe in /proc/[0-9]*/exe; do readlink $exe; done | grep -c introspod; ls /proc/1/fd | tr '\\n' ' '",
        )
        return done.out if done.code == 0 else str(done)

    def _pid_1(self):
        for name in ("with-introspod", "without"):
            self.ns.wait(name, running)
        with_it, without = self._status("with-introspod"), self._status("without")
        if with_it != without or "got TERM" not in with_it:
            return f"PID 1 differs: {with_it!r} with introspod, {without!r} without"
        return None

    def _term(self):
        self.ns.wait("with-introspod", running)
        self.ns.exec("with-introspod", "main", "kill", "-TERM", "1")
        return self._exit_code("with-introspod", 7) or self._log_lacks("with-introspod", "got TERM")

    def _waiting(self):
        self.ns.wait("waiting", running)
        command = self.ns.exec("waiting", "main", "cat", "/proc/1/cmdline")
        if "introspod" not in command.out:
            return f"PID 1 is not introspod: {command}"
        self.ns.exec("waiting", "main", "kill", "-TERM", "1")
        return self._exit_code("waiting", 143)

    def _disabled(self):
        return self._exit_code("disabled", 0) or self._log_lacks("disabled", ".")

    def _out_of_memory(self):
        state = self._end("out-of-memory")
        return None if state.get("reason") == "OOMKilled" and state["exitCode"] == 137 else state

    def _end(self, name):
        pod = self.ns.wait(name, ended, 150)
        return pod["status"]["containerStatuses"][0]["state"]["terminated"]

    def _exit_code(self, name, code):
        state = self._end(name)
        return (
            None
            if state["exitCode"] == code
            else f"exit code {state['exitCode']}, {state.get('message', '')}"
        )

    def _log_lacks(self, name, text):
        log = self.ns.need("logs", name, "--container=main")
        return None if text in log.splitlines() else f"the log is {log!r}"


def _check(name):
    code = {**EXIT_CODES, **SIGNALS}[name][0]
    return f"exit code {code}: {name}"
