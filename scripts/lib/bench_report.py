"""The benchmark's result as text: the tables that people read."""

from __future__ import annotations

import textwrap
from typing import Any, Dict, List, Sequence

from bench_process import MODES


def rows(table: Sequence[Sequence[str]], left: int) -> List[str]:
    """Columns as wide as they must be; the first `left` ones are aligned to the left."""
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    return [
        "  ".join(
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths))
        ).rstrip()
        for row in table
    ]


def ratio(entry: Dict[str, float]) -> str:
    return f"{entry['median']:.2f} ({entry['min']:.2f} .. {entry['max']:.2f})"


def milliseconds(seconds: float) -> str:
    ms = 1000 * seconds
    return f"{ms:,.0f}" if ms >= 100 else f"{ms:.1f}" if ms >= 1 else f"{ms:.2f}"


def times(entry: Dict[str, Any]) -> List[str]:
    return [milliseconds(entry["seconds"]), milliseconds(entry["cpu_seconds"])]


def heap_rows(each: Dict[str, Any]) -> List[List[str]]:
    heap = [each["heap"], f"{each['objects']:,}", f"{each['core_bytes'] / 1e6:,.0f}"]
    table = []
    for mode in MODES:
        entry = each["collect"][mode]
        table.append([f"collectgarbage(), {mode}", *times(entry), "", "", "", ""])
    for name, entry in each["commands"].items():
        row = [name, *times(entry), "", "", "", ""]
        if not entry["is_debugger"]:
            row[3] = ratio(entry["ratio"]["generational"])
            row[4] = f"{entry['ratio']['incremental']['median']:.2f}"
            row[5] = f"{entry['cpu_ratio']['generational']['median']:.2f}"
            row[6] = f"{entry['bytes_per_object']:.0f}"
        table.append(row)
    return [(heap if i == 0 else ["", "", ""]) + row for i, row in enumerate(table)]


def main_table(heaps: List[Dict[str, Any]]) -> List[str]:
    head = ["heap", "objects", "core MB", "what", "ms", "CPU ms"]
    table = [[*head, "to generational", "to incr.", "CPU", "B/object"]]
    for each in heaps:
        table += heap_rows(each)
    # The name of what is measured stands left, the numbers right.
    order = [0, 3, 1, 2, 4, 5, 6, 7, 8, 9]
    return rows([[row[i] for i in order] for row in table], left=2)


def phase_lines(heaps: List[Dict[str, Any]]) -> List[str]:
    lines = []
    for each in heaps:
        for name, entry in each["commands"].items():
            if entry["phases"]:
                text = ", ".join(f"{k} {v:.3f}" for k, v in entry["phases"].items())
                lines += textwrap.wrap(
                    f"{each['heap']} {each['objects']:,}, {name}: {text}",
                    width=100,
                    subsequent_indent="    ",
                )
    return lines


def growth_table(growth: List[Dict[str, Any]]) -> List[str]:
    most = max(len(row["objects"]) for row in growth)
    table = [["heap", "what"] + ["objects", "ns"] * most]
    for row in growth:
        cells = [row["heap"], row["what"]]
        for objects, ns in zip(row["objects"], row["ns"]):
            cells += [f"{objects:,}", f"{ns:.0f}"]
        table.append(cells + [""] * (len(table[0]) - len(cells)))
    return rows(table, left=2)


def peer_table(peers: List[Dict[str, Any]]) -> List[str]:
    table = [["heap", "peer", "ms", "to leaks", "visited", "added MB", ""]]
    for each in peers:
        row = [f"{each['heap']} {each['heap_objects']:,}", each["peer"]]
        if "error" in each:
            table.append(row + ["", "", "", "", each["error"]])
            continue
        note = ""
        if not each["complete"]:
            note = f"extrapolated from {each['objects_per_second']:,.0f} objects/s"
        added = f"{each['peak_bytes'] / 1e6:,.0f}" if "peak_bytes" in each else ""
        table.append(
            [
                *row,
                milliseconds(each["seconds"]),
                f"{each['seconds'] / each['leaks_seconds']:.1f}",
                f"{each['objects']:,}",
                added,
                note,
            ]
        )
    return rows(table, left=2)


def start_table(start: List[Dict[str, Any]]) -> List[str]:
    table = [["start-up", "core MB", "ms", "min", "max"]]
    for each in start:
        ms = [milliseconds(each[key]) for key in ("seconds", "min", "max")]
        table.append([each["what"], f"{each['core_bytes'] / 1e6:,.1f}", *ms])
    return rows(table, left=1)


def memory_lines(result: Dict[str, Any]) -> List[str]:
    rates = result["machine"]["first_touch"]
    kind = "cold" if result["cold_memory"] else "warm"
    return textwrap.wrap(
        f"Memory {kind}: the first touch of what was free for seconds goes at"
        f" {rates['cold'] / 1e9:.1f} GB/s here, of what was freed just now at"
        f" {rates['warm'] / 1e9:.1f} GB/s. `states` is graph and collection alone.",
        100,
    )


def report(result: Dict[str, Any]) -> str:
    machine, heaps = result["machine"], result["heaps"]
    lines = [
        f"{result['program']}, {machine['processor']}, {machine['processors']} processors,"
        f" {machine['memory_bytes'] / 2**30:.0f} GiB, load {machine['load_before']:.1f} before,"
        f" {machine['load_after']:.1f} after",
        "Medians of rounds in alternation, page cache warm. Ratios: wall time to that of"
        " collectgarbage() in",
        "the same round, median (least .. most); in incremental mode, median; CPU time (generational),",
        "median. B/object: peak memory beyond the mapped core.",
        *memory_lines(result),
        "",
        *main_table(heaps),
        "",
        *(line for note in result["notes"] for line in textwrap.wrap(note, 100)),
        "",
        "Phases, seconds:",
        *phase_lines(heaps),
        "",
        *start_table(result["start"]),
    ]
    if result["growth"]:
        lines += [
            "",
            "Growth, CPU nanoseconds per object:",
            *growth_table(result["growth"]),
        ]
    if result["peers"]:
        lines += ["", *peer_table(result["peers"])]
    return "\n".join(lines) + "\n"
