"""Memory that the machine has at hand, before something is timed.

The host of a virtual machine may take back what its guest does not use (virtio balloon, free page
reporting: Linux offers it what has been free for two seconds). The first touch of such memory costs
ten times as much as that of memory that was in use a moment ago. Which of the two a program gets
depends on what ran before it: while Lua collects, nothing is freed for seconds, and the command
measured next pays for it. So as much memory as a command needs is taken and given back right before
it is timed, as its core is in the page cache. Both rates of a first touch are measured and told.
"""

from __future__ import annotations

import subprocess
import sys
import time
from typing import Dict

# Takes so many bytes, in huge pages where there are any, writes to all, and says what processor time
# that took.
TOUCH = """
import ctypes, mmap, sys, time
size = int(sys.argv[1])
block = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
if hasattr(mmap, "MADV_HUGEPAGE"):
    try:
        block.madvise(mmap.MADV_HUGEPAGE)
    except OSError:
        pass
view = (ctypes.c_char * size).from_buffer(block)
start = time.process_time()
ctypes.memset(view, 1, size)
print(time.process_time() - start)
"""
SAMPLE = 256 << 20
LEAST = 1 << 20
TAKEN_BACK_SECONDS = 4  # until the host has what is free


def touch(size: int) -> float:
    """Takes `size` bytes, writes to them, and gives them back; returns the seconds of processor time
    that the writing took."""
    line = [sys.executable, "-c", TOUCH, str(max(size, LEAST))]
    done = subprocess.run(line, capture_output=True, text=True, check=False)
    return float(done.stdout) if done.returncode == 0 else 0.0


def first_touch() -> Dict[str, float]:
    """Bytes a second: of memory that was free for a while, and of memory freed just now."""
    touch(SAMPLE)
    time.sleep(TAKEN_BACK_SECONDS)
    cold, warm = touch(SAMPLE), touch(SAMPLE)
    return {
        "cold": SAMPLE / cold if cold else 0.0,
        "warm": SAMPLE / warm if warm else 0.0,
    }
