"""What the kernel says of a process: CPU time, and the most memory it ever held."""

import os
from pathlib import Path
from typing import Final

MIB: Final = 1024**2
_TICKS: Final = os.sysconf("SC_CLK_TCK")


def cpu_s(pid: int) -> float:
    """Return the CPU seconds that a process has used, in user and kernel mode."""
    # After the name in brackets, which may hold spaces: fields 14 and 15 of proc(5).
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def forget_peak(pid: int) -> None:
    """Begin the high-water mark of resident memory anew."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")


def peak_bytes(pid: int) -> int:
    """Return the high-water mark of resident memory."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    mark = next(line for line in lines if line.startswith("VmHWM:"))
    return int(mark.split()[1]) * 1024
