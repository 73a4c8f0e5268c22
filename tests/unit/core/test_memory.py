"""What is freed is given back to the system."""

import subprocess
import sys

# A block of 24 MiB that is freed makes glibc keep all smaller ones from then on; the small
# objects after each of the others keep the heap from shrinking.
_PROGRAM = """
import sys
from pathlib import Path
from agent.core.memory import hold_little

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) / 256

if sys.argv[1] == "yes":
    hold_little()
    hold_little()
bytearray(24 << 20)
before = resident_mib()
blocks = []
for _ in range(4):
    blocks.append((bytearray(8 << 20), bytearray(2000)))
kept = [small for _, small in blocks]
blocks.clear()
print(resident_mib() - before)
"""


def _kept_mib(hold_little: str) -> float:
    command = [sys.executable, "-c", _PROGRAM, hold_little]
    return float(subprocess.run(command, capture_output=True, check=True, text=True).stdout)


def test_large_blocks_are_given_back_when_they_are_freed() -> None:
    """Without being told so, the C library keeps them all."""
    assert _kept_mib("yes") < 4
    assert _kept_mib("no") > 16


# Blocks too small to be mapped one by one, kept apart by small objects that live on.
_SCATTERED = """
import sys
import threading
from pathlib import Path
from agent.core.flow import Stop
from agent.core.memory import give_back, hold_little

def resident_mib():
    return int(Path("/proc/self/statm").read_text().split()[1]) / 256

hold_little()
before, stop = resident_mib(), Stop()
blocks = [(bytearray(1 << 20), bytearray(1 << 16)) for _ in range(64)]
kept = [small for _, small in blocks]
blocks.clear()
if sys.argv[1] == "yes":
    thread = threading.Thread(target=give_back, args=(stop,))
    thread.start()
    waited = threading.Event()
    for _ in range(150):
        if resident_mib() - before < 16 or waited.wait(0.1):
            break
    stop.set("done")
    thread.join()
print(resident_mib() - before)
"""


def test_free_pages_between_what_lives_on_are_given_back() -> None:
    """Of 64 MiB in scattered blocks, most goes back to the system within seconds."""

    def kept_mib(give_back: str) -> float:
        command = [sys.executable, "-c", _SCATTERED, give_back]
        done = subprocess.run(command, capture_output=True, check=True, text=True)
        return float(done.stdout)

    assert kept_mib("yes") < 16
    assert kept_mib("no") > 32


# Each turn makes a cycle that nothing else can free.
_CYCLES = """
import gc
from agent.core.memory import collect_seldom

looks = []
gc.callbacks.append(lambda phase, _info: looks.append(phase))

class Cycle:
    alive = 0

    def __init__(self):
        Cycle.alive += 1
        self.itself = self

    def __del__(self):
        Cycle.alive -= 1

before = [[] for _ in range(100_000)]
collect_seldom()
collect_seldom()
looks.clear()
most_alive = 0
for _ in range(300_000):
    Cycle()
    most_alive = max(most_alive, Cycle.alive)
print(looks.count("stop"), most_alive, gc.get_freeze_count())
"""


def test_cycles_are_looked_for_seldom_and_found_all_the_same() -> None:
    """Some ten thousand dead objects may wait; what was there before is left alone."""
    command = [sys.executable, "-c", _CYCLES]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    look_count, most_alive, left_alone_count = map(int, said.split())
    assert 10 <= look_count <= 100
    assert most_alive <= 30_000
    assert left_alone_count >= 100_000
