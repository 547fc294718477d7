"""Runs one process and measures it from outside: result, peak memory, disturbance by others."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time


class Failed(Exception):
    """The process gave no result; the message says why in one line."""


def run_for_json(command, environment=None, timeout=1800.0):
    """Runs a command that prints one JSON object, the last line or all of its output.

    Returns the object and what was seen from outside:

    - `peak_memory_bytes`: the largest resident set (`ru_maxrss` of the child by `wait4`; never
      less than that of this process, which is why this process must stay small),
    - `wall_seconds`,
    - `cores_used`: processor time of the child and its children for each second,
    - `cores_of_others`: the same for all other processes of the machine.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        begin, busy_before = time.monotonic(), busy_seconds()
        # A session of its own, so that on a time-out its compilers are ended with it.
        try:
            process = subprocess.Popen(
                command, stdout=out, stderr=err, env=environment, start_new_session=True
            )
        except OSError as failure:
            raise Failed(f"cannot start {command[0]}: {failure.strerror}") from failure
        timed_out = threading.Event()

        def end_process():
            timed_out.set()
            os.killpg(process.pid, signal.SIGKILL)

        timer = threading.Timer(timeout, end_process)
        timer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            timer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
        wall = time.monotonic() - begin
        busy = busy_seconds() - busy_before
        out.seek(0)
        err.seek(0)
        output = out.read().decode(errors="replace").strip()
        errors = err.read().decode(errors="replace").strip()

    if timed_out.is_set():
        raise Failed(f"no result after {timeout:.0f} seconds")
    if process.returncode != 0:
        raise Failed(f"exit status {process.returncode}: {last_line(errors or output)}")
    used = usage.ru_utime + usage.ru_stime
    seen = {
        "peak_memory_bytes": usage.ru_maxrss * 1024,
        "wall_seconds": wall,
        "cores_used": used / wall,
        "cores_of_others": max(0.0, busy - used) / wall,
    }
    return parse(output), seen


def parse(output):
    """The JSON object that an output consists of or ends with."""
    for text in (output, last_line(output)):
        try:
            found = json.loads(text)
        except ValueError:
            continue
        if isinstance(found, dict):
            return found
    raise Failed(f"printed no JSON object but: {last_line(output) or 'nothing'}")


def last_line(text):
    """The last line with anything on it, at most 300 characters of it."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1][:300] if lines else ""


def busy_seconds():
    """Processor time that all processes of the machine have used, in seconds."""
    with open("/proc/stat", encoding="ascii") as stat:
        fields = [int(field) for field in stat.readline().split()[1:9]]
    user, nice, system, _idle, _iowait, irq, softirq, steal = fields
    ticks = user + nice + system + irq + softirq + steal
    return ticks / os.sysconf("SC_CLK_TCK")


def physical_cores():
    """The cores that this process may use, threads of one core counted once."""
    cores = set()
    for cpu in os.sched_getaffinity(0):
        try:
            path = f"/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list"
            with open(path, encoding="ascii") as siblings:
                cores.add(siblings.read().strip())
        except OSError:
            cores.add(str(cpu))
    return len(cores)
