"""The report as a story of few blocks, and the story as Markdown. `report.web` makes a page of
it."""

from dataclasses import dataclass, field, replace

from pruneexp.report.analysis.budgets import Given
from pruneexp.report.analysis.findings import Findings
from pruneexp.report.choice import told
from pruneexp.report.choice.choose import chooser_of
from pruneexp.report.escape import for_markdown
from pruneexp.report.format import Table, number
from pruneexp.report.output.byte_tables import storage, written
from pruneexp.report.output.comparison_tables import comparison_of, rivals
from pruneexp.report.output.tables import choice, costs, slices, table, trials
from pruneexp.report.output.translation_tables import translations
from pruneexp.report.output.translation_tables import written as written_words

MEDIA = {"svg": "image/svg+xml", "png": "image/png"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    detail: bool = False  # left out on a terminal


@dataclass(frozen=True, kw_only=True, slots=True)
class Heading(Block):
    text: str
    level: int = 2


@dataclass(frozen=True, kw_only=True, slots=True)
class Paragraph(Block):
    text: str
    warning: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Listing(Block):
    items: list[str]


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid(Block):
    table: Table


@dataclass(frozen=True, kw_only=True, slots=True)
class Picture(Block):
    file: str  # beside the page
    media: str
    content: bytes = field(repr=False)
    alternative: str
    also: list[str]  # the same picture in other formats


# --- the story ---------------------------------------------------------------------------------


def story(found: Findings, pictures: list[Picture], files: list[str]) -> list[Block]:
    runs = found.runs
    blocks: list[Block] = [Heading(text=found.title, level=1)]
    blocks += [Paragraph(text=verdict) for verdict in found.verdicts]
    blocks += [Paragraph(text=warning, warning=True) for warning in found.warnings]
    blocks += _choice(found)
    blocks += pictures
    blocks += _references(found)
    if found.claims:
        blocks += [Heading(text="What the papers claim"), Listing(items=found.claims)]
    blocks += _comparisons(found)
    levels = slices(found)
    if levels is not None:
        blocks += [Heading(text="How large a parent at equal bytes"), Grid(table=levels)]
    between = rivals(found)
    if between is not None and between.cells:
        heading = "Sparse curves against each other at equal size"
        if len(found.rivals) == 1:
            pair = found.rivals[0]
            names = f"{pair.ours[0].series} (A) against {pair.theirs[0].series} (B)"
            heading = f"{names[0].upper()}{names[1:]} at equal size"
        blocks += [Heading(text=heading), Grid(table=between)]
    if len(runs.rows):
        blocks += [
            Heading(text="Size against sparsity"),
            Grid(table=table(found)),
            *_bytes(found),
            Heading(text="What each side was given"),
            Listing(items=[str(given) for given in found.budgets.values()]),
        ]
    blocks += _translations(found)
    dear = costs(found)
    if dear is not None:
        blocks += [Heading(text="What each method costs"), Grid(table=dear)]
    tried = trials(found)
    if tried is not None:
        blocks += [Heading(text="How settings were chosen"), Grid(table=tried)]
    if runs.missing:
        words = f"Not in this report: {len(runs.missing)} of {runs.asked}"
        blocks += [
            Heading(text=words),
            Listing(items=[str(missing) for missing in runs.missing]),
        ]
    if found.plan.left_out:
        blocks += [Heading(text="What was not made"), Listing(items=list(found.plan.left_out))]
    blocks += [Heading(text="How it was made", detail=True)]
    blocks += [Listing(items=_made(found, files), detail=True)]
    return blocks


def _choice(found: Findings) -> list[Block]:
    """Which model for a budget."""
    made = choice(found)
    chooser = chooser_of(found)
    if made is None or chooser is None:
        return []
    words = told.crossover(chooser)
    return [
        Heading(text="Which model for a budget"),
        *([Paragraph(text=words)] if words else []),
        Grid(table=made),
    ]


def _references(found: Findings) -> list[Block]:
    """What the horizontal lines of the figures are."""
    if not found.runs.references:
        return []
    items = [
        f"{name}: {found.metric.words} {value:.{found.digits}f}{found.metric.unit and ' '}"
        f"{found.metric.unit}"
        for name, value in found.runs.references.items()
    ]
    return [Heading(text="Values to hold the curves against"), Listing(items=items)]


def _comparisons(found: Findings) -> list[Block]:
    """A table for each pair of curves; the last one's caption speaks for all."""
    blocks: list[Block] = []
    reach = [pair for pair in found.pairs if pair.gaps]
    for pair in reach:
        names = f"{pair.ours[0].series} against {pair.theirs[0].series}"
        compared = comparison_of(found, pair)
        blocks += [
            Heading(text=f"{names[0].upper()}{names[1:]} at equal size"),
            Grid(table=compared if pair is reach[-1] else replace(compared, caption="")),
        ]
    return blocks


def _bytes(found: Findings) -> list[Block]:
    """Tables 5 and 6, the first too wide for a terminal."""
    blocks: list[Block] = []
    for made, heading, wide in (
        (written(found), "Bytes really written", False),
        (storage(found), "What the positions take", True),
    ):
        if made is not None:
            blocks += [Heading(text=heading, detail=wide), Grid(table=made, detail=wide)]
    return blocks


def _translations(found: Findings) -> list[Block]:
    """BLEU with what chance does to it, and sentences in words."""
    made, words = translations(found), written_words(found)
    blocks: list[Block] = []
    if made is not None:
        blocks += [Heading(text="Translations"), Grid(table=made)]
    if words is not None:
        blocks += [Heading(text="What they write"), Grid(table=words)]
    return blocks


def _made(found: Findings, files: list[str]) -> list[str]:
    runs = found.runs
    items = [
        f"Plan {found.plan.name}: {runs.asked} runs and points asked for, {len(runs.rows)} "
        "finished."
    ]
    if len(runs.rows):
        metric = found.metric
        better = "higher" if metric.higher_is_better else "lower"
        norms = max(row.batch_norm for row in runs.rows)
        items += [
            f"The state with the best validation {metric.name} ({better} is better) was measured "
            "on test, once.",
            "Non-zero parameters are the weights and biases that the mask keeps. "
            + f"Batch norm's scale and shift, at most {norms:,}, are counted apart. " * (norms > 0)
            + "MB beside them is millions of bytes at 4 bytes a value, without the indices that a "
            "sparse format adds." * (not found.rounded),
            "The ± of a point is a 95 % t interval over its seeds. Two curves are compared on the "
            "logarithm of the error (of a metric in per cent) or of the metric: a point's value "
            "plus its seed's plus an error, with one spread for all points of a comparison unless "
            "Bartlett's test finds them unequal. Differences at single sizes hold at once (Šidák), "
            "probabilities are adjusted for all comparisons (Holm), a tie is what lies within its "
            "interval, and equal is what lies within half a point or 2 % by two one-sided tests. "
            "On new data: with what the choice of test items adds.",
            "Data: "
            + ", ".join(
                f"checksum {sum_ or 'unknown'}"
                for sum_ in dict.fromkeys(row.data for row in runs.rows)
            ),
            f"Time: {_hours(found.budgets)} in all finished runs together.",
        ]
        lacking = sum(row.sparse_multiply_adds is None for row in runs.rows)
        if lacking:
            items.append(
                f"Multiply-adds are not shown: {lacking} of {len(runs.rows)} records lack them."
            )
    if runs.gone_with_size:
        items.append(f"Differs with a model's size: {', '.join(runs.gone_with_size)}")
    items += [f"{key}: {', '.join(values)}" for key, values in runs.versions.items()]
    return items + [f"Beside this page: {', '.join(files)}"] * bool(files)


def _hours(given: dict[str, Given]) -> str:
    seconds = sum(each.seconds for each in given.values())
    return f"{number(seconds)} seconds" if seconds < 3600 else f"{seconds / 3600:,.1f} hours"


# --- the story as a file -----------------------------------------------------------------------


def markdown(blocks: list[Block]) -> str:
    return "\n\n".join(_markdown(block).rstrip() for block in blocks) + "\n"


def _markdown(block: Block) -> str:
    match block:
        case Heading():
            return f"{'#' * block.level} {for_markdown(block.text)}"
        case Paragraph():
            return ("> **Note:** " if block.warning else "") + for_markdown(block.text)
        case Listing():
            return "\n".join(f"- {for_markdown(item)}" for item in block.items)
        case Grid():
            return block.table.markdown()
        case Picture():
            also = ", ".join(f"[{file}]({file})" for file in block.also)
            image = f"![{for_markdown(block.alternative)}]({block.file})"
            return image + (f"\n\nAlso as {also}" if also else "")
    raise AssertionError(block)


PAGES = ("md", "html")  # the second is made by `report.web`
