"""From rounds to medians, ranges and ratios; as text, as rows of Markdown, as JSON."""

import os
import pathlib
import platform
import re
import statistics


def spread(values):
    """Median, least and greatest."""
    return statistics.median(values), min(values), max(values)


def verdict(values, bound, more_is_better):
    """Whether the median keeps to a bound; undecided where the middle half of the values lies on both sides of it."""
    if len(values) > 2:
        lower, _, upper = statistics.quantiles(values, n=4, method="inclusive")
        if lower < bound < upper:
            return "undecided"
    median = statistics.median(values)
    return "reached" if (median >= bound if more_is_better else median <= bound) else "missed"


def values_of(rounds, label, key):
    return [row[label][key] for row in rounds if label in row]


def ratios_of(rounds, label, key):
    """Blastdoor's value over another's, round by round."""
    return [
        row["blastdoor"][key] / row[label][key]
        for row in rounds
        if "blastdoor" in row and label in row and row[label][key]
    ]


def summary(test, rounds):
    """Rows of one test: a dict for each figure and proxy."""
    rows = []
    labels = list(dict.fromkeys(label for row in rounds for label in row))
    for figure in test.figures:
        for label in labels:
            median, least, greatest = spread(values_of(rounds, label, figure.key))
            row = {"test": test.name, "figure": figure.unit, "proxy": label, "digits": figure.digits}
            row.update(median=median, least=least, greatest=greatest)
            goal, own = figure.goals.get(label), label == "blastdoor"
            ratios = [] if own else ratios_of(rounds, label, figure.key)
            if ratios:
                row["ratio"], row["ratio_least"], row["ratio_greatest"] = spread(ratios)
            if ratios and goal is not None:
                row["goal"] = f"{'≥' if figure.more_is_better else '≤'} {goal}"
                row["verdict"] = verdict(ratios, goal, figure.more_is_better)
            if own and figure.limit is not None:
                row["goal"] = f"≤ {figure.limit}"
                row["verdict"] = verdict(values_of(rounds, label, figure.key), figure.limit, figure.more_is_better)
            rows.append(row)
    return rows


def cells(row):
    digits = row["digits"]
    value = f"{row['median']:,.{digits}f} ({row['least']:,.{digits}f}–{row['greatest']:,.{digits}f})"
    ratio = goal = ""
    if "ratio" in row:
        ratio = f"{row['ratio']:.2f} ({row['ratio_least']:.2f}–{row['ratio_greatest']:.2f})"
    if "goal" in row:
        goal = f"{row['goal']}: {row['verdict']}"
    return [row["proxy"], value, ratio, goal]


HEADINGS = ["proxy", "median (range)", "Blastdoor ÷ it", "goal"]


def as_text(test, rounds, rows):
    lines = [f"\n{test.name}: {test.about}"]
    for unit in dict.fromkeys(row["figure"] for row in rows):
        table = [[unit, *HEADINGS[1:]]] + [cells(row) for row in rows if row["figure"] == unit]
        widths = [max(len(line[column]) for line in table) for column in range(4)]
        lines += ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in table]
    disturbed = sum(one["contaminated"] for row in rounds for one in row.values())
    if disturbed:
        lines.append(f"  {disturbed} of {sum(map(len, rounds))} measurements were disturbed by other load each time")
    return "\n".join(lines)


def as_markdown(test, rows):
    lines = [f"\n### `{test.name}`: {test.about}\n"]
    for unit in dict.fromkeys(row["figure"] for row in rows):
        headings = [unit, *HEADINGS[1:]]
        lines += ["| " + " | ".join(headings) + " |", "|---|---|---|---|"]
        lines += ["| " + " | ".join(cells(row)) + " |" for row in rows if row["figure"] == unit]
        lines.append("")
    return "\n".join(lines).rstrip()


def machine():
    """What the figures were measured on, without names."""
    info = pathlib.Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", info, re.M)
    return {
        "cores": os.cpu_count(),
        "processor": model[1].strip() if model else platform.machine(),
        "kernel": ".".join(platform.release().split(".")[:2]),
    }
