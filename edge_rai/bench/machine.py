"""What is seen of the machine, from /proc and /sys; what a system does not tell is None."""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from edge_rai._native import build
from edge_rai.bench.result import Machine

_PACKAGES = ("edge-rai", "numpy", "onnxruntime", "ai-edge-litert")
_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "LD_PRELOAD", "MALLOC_ARENA_MAX")
# Beginnings of the processor's flags that inference runtimes choose their code by, of x86-64 and of ARM.
_INSTRUCTIONS = ("sse4", "avx", "fma", "f16c", "amx", "asimd", "fphp", "sve", "sme", "i8mm", "bf16")
_ZONES_BELOW_C = 200.0  # sensors that are not connected show more
# Beyond these, others or the host had a part in the numbers.
_OTHERS, _STOLEN = 0.10, 0.02
_LOWER_CLOCK = 0.9


class Watcher:
    """Looks at the machine before, during and after a run; one thread.

    Args:
        root: Where proc and sys are.
    """

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._began = time.perf_counter()
        self._fixed = self._what_stays()
        self._before = self._now()
        self._first = self._last = self._spent()
        self._during: list[dict[str, Any]] = []

    def look(self) -> None:
        """During the run."""
        before, self._last = self._last, self._spent()
        at_s = round(time.perf_counter() - self._began, 3)
        self._during.append({"at_s": at_s, **self._now(), **_shares(before, self._last)})

    def machine(self) -> Machine:
        """All that was seen; now is "after", and its shares are of the time since the beginning."""
        after = {**self._now(), **_shares(self._first, self._spent())}
        return Machine(self._fixed, self._before, list(self._during), after)

    def _what_stays(self) -> dict[str, Any]:
        cpu = self._cpu_info()
        return {
            "cpu": cpu.get("model name") or cpu.get("Hardware") or platform.processor() or None,
            "architecture": platform.machine(),
            "instructions": self._instructions(cpu),
            "cores": os.cpu_count(),
            "cores_allowed": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None,
            "memory_bytes": self._memory_bytes(),
            "model": self._text("sys/firmware/devicetree/base/model") or self._text("sys/class/dmi/id/product_name"),
            "virtual_machine": self._virtual_machine(cpu),
            "container": self._path(".dockerenv").exists() or self._path("run/.containerenv").exists(),
            "system": platform.platform(),
            "python": f"{platform.python_implementation()} {platform.python_version()}",
            "compiler_of_python": platform.python_compiler(),
            "versions": {name: _version(name) for name in _PACKAGES},
            "builds": {"edge-rai": build(), "onnxruntime": _build_of_runtime()},
            "environment": {name: os.environ[name] for name in _VARIABLES if name in os.environ},
            "gil": getattr(sys, "_is_gil_enabled", lambda: True)(),
        }

    def _now(self) -> dict[str, Any]:
        """What changes."""
        return {
            "governor": self._text("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            "frequency_mhz": self._frequencies(),
            "temperature_c": self._temperature(),
            "times_throttled": self._times_throttled(),
            "load_1m": os.getloadavg()[0],
        }

    def _spent(self) -> dict[str, float] | None:
        """Seconds of all cores together: all, spent by anybody, taken by the host, spent by us and our children."""
        line = (self._text("proc/stat") or "").partition("\n")[0].split()
        if len(line) < 9 or line[0] != "cpu":
            return None
        user, nice, kernel, idle, waiting, *interrupts, stolen = map(float, line[1:9])
        spent = user + nice + kernel + sum(interrupts)
        tick = os.sysconf("SC_CLK_TCK")
        return {
            "all": (spent + idle + waiting + stolen) / tick,
            "spent": spent / tick,
            "stolen": stolen / tick,
            "ours": sum(os.times()[:4]),
        }

    def _cpu_info(self) -> dict[str, str]:
        lines = (line.partition(":") for line in (self._text("proc/cpuinfo") or "").splitlines())
        return {key.strip(): value.strip() for key, _, value in lines}

    @staticmethod
    def _instructions(cpu: dict[str, str]) -> list[str]:
        flags = (cpu.get("flags") or cpu.get("Features") or "").split()
        return sorted(flag for flag in flags if flag.startswith(_INSTRUCTIONS))

    def _virtual_machine(self, cpu: dict[str, str]) -> str | None:
        """What the machine is a guest of, "unknown" where that is all there is to see; None: no sign of any."""
        told = self._text("sys/hypervisor/type")
        vendor = self._text("sys/class/dmi/id/sys_vendor") or ""
        known = next(
            (name for name in ("QEMU", "VMware", "Xen", "innotek", "Microsoft", "Amazon") if name in vendor), ""
        )
        if told or "hypervisor" in cpu.get("flags", "").split():
            return told or known or "unknown"
        return known or None

    def _memory_bytes(self) -> int | None:
        words = (self._text("proc/meminfo") or "").split()
        return int(words[1]) * 1024 if words[:1] == ["MemTotal:"] else None

    def _frequencies(self) -> list[int] | None:
        """Of each core."""
        files = sorted(self._path("sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_cur_freq"))
        found = [int(text) // 1000 for file in files if (text := self._read(file)) and text.isdigit()]
        if not found:
            lines = (self._text("proc/cpuinfo") or "").splitlines()
            found = [int(float(line.partition(":")[2])) for line in lines if line.startswith("cpu MHz")]
        return found or None

    def _temperature(self) -> float | None:
        """Of the hottest zone."""
        texts = (self._read(zone) for zone in self._path("sys/class/thermal").glob("thermal_zone*/temp"))
        degrees = [int(text) / 1000 for text in texts if text and text.lstrip("-").isdigit()]
        return max((value for value in degrees if value < _ZONES_BELOW_C), default=None)

    def _times_throttled(self) -> int | None:
        """How often the processor says that it was slowed down, all cores together."""
        files = self._path("sys/devices/system/cpu").glob("cpu[0-9]*/thermal_throttle/core_throttle_count")
        counts = [int(text) for file in files if (text := self._read(file)) and text.isdigit()]
        return sum(counts) if counts else None

    def _path(self, inside: str) -> Path:
        return self._root / inside

    def _text(self, inside: str) -> str | None:
        return self._read(self._path(inside))

    @staticmethod
    def _read(path: Path) -> str | None:
        try:
            return path.read_text(encoding="utf-8", errors="replace").strip("\0\n ") or None
        except OSError:
            return None


def warnings_of(machine: Machine) -> list[str]:
    """What was seen that makes the numbers less than this machine can do, one sentence each."""
    said = []
    before, after = machine.before, machine.after
    others, stolen = after.get("others_share"), after.get("stolen_share")
    if others is not None and others > _OTHERS:
        said.append(f"other processes used {others:.0%} of the processors' time during the run")
    if stolen is not None and stolen > _STOLEN:
        said.append(f"the host of this virtual machine took {stolen:.0%} of the processors' time during the run")
    throttled = (after.get("times_throttled") or 0) - (before.get("times_throttled") or 0)
    if throttled > 0:
        said.append(f"the processor says that it was throttled {throttled} times during the run")
    clocks = [max(seen["frequency_mhz"]) for seen in machine.during if seen.get("frequency_mhz")]
    if len(clocks) > 1 and clocks[-1] < _LOWER_CLOCK * max(clocks):
        said.append(f"the clock fell from {max(clocks)} to {clocks[-1]} MHz during the run")
    return said


def _shares(before: dict[str, float] | None, now: dict[str, float] | None) -> dict[str, float | None]:
    """Of the processors' time between two looks: what others spent, and what the host took."""
    if before is None or now is None or now["all"] <= before["all"]:
        return {"others_share": None, "stolen_share": None}
    took = {key: now[key] - before[key] for key in now}
    return {
        "others_share": round(min(1.0, max(0.0, took["spent"] - took["ours"]) / took["all"]), 4),
        "stolen_share": round(took["stolen"] / took["all"], 4),
    }


def _build_of_runtime() -> str | None:
    """What ONNX Runtime says of its own build."""
    try:
        import onnxruntime
    except ImportError:
        return None
    said: str = onnxruntime.get_build_info()
    return said


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
