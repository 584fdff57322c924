"""Tables: as text and as Markdown, with a verdict on each bound."""

import dataclasses


@dataclasses.dataclass
class Table:
    """What a test has found. `missed` says in words which bounds were not kept."""

    name: str
    about: str
    headings: tuple
    rows: list = dataclasses.field(default_factory=list)
    missed: list = dataclasses.field(default_factory=list)
    notes: list = dataclasses.field(default_factory=list)

    def add(self, *cells):
        self.rows.append([str(cell) for cell in cells])

    def must(self, kept, what):
        """Records a bound; returns a mark for the table."""
        if not kept:
            self.missed.append(what)
        return "" if kept else " **missed**"

    def as_text(self):
        lines = [list(self.headings)] + [[cell.replace("**", "") for cell in row] for row in self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headings))]
        text = ["  " + "  ".join(cell.ljust(width) for cell, width in zip(line, widths)).rstrip() for line in lines]
        text += [f"  {note}" for note in self.notes] + [f"  MISSED: {what}" for what in self.missed]
        return "\n".join([f"\n{self.name}: {self.about}", *text])

    def as_markdown(self):
        lines = [f"\n### `{self.name}`: {self.about}\n", "| " + " | ".join(self.headings) + " |"]
        lines.append("|" + "---|" * len(self.headings))
        lines += ["| " + " | ".join(row) + " |" for row in self.rows]
        if self.notes:
            lines += ["", " ".join(self.notes)]
        return "\n".join(lines)


def ms(us):
    return f"{us / 1000:.2f}" if us < 10_000 else f"{us / 1000:.0f}"


def mib(size):
    return f"{size / (1 << 20):.1f}"
