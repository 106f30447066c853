"""The one table of encodings of positions. docs/format.md describes every stream bit by bit."""

from pruneexp.storage.encodings.bitmask import Bitmask
from pruneexp.storage.encodings.csr import CSR
from pruneexp.storage.encodings.dense import DenseEncoding
from pruneexp.storage.encodings.encoding import Encoding
from pruneexp.storage.encodings.golomb_gaps import GolombGaps, GolombMaskedGaps
from pruneexp.storage.encodings.lines import Columns, Rows
from pruneexp.storage.encodings.runs import EscapedRuns, FilledRuns

# In the order in which `auto` asks for costs: of equal ones the first serves, and those that are
# dear to ask come last.
ENCODINGS: tuple[Encoding, ...] = (
    DenseEncoding(0, "dense"),
    Bitmask(2, "bitmask"),
    FilledRuns(3, "runs4", width=4),
    FilledRuns(4, "runs5", width=5),
    EscapedRuns(5, "escape4", width=4),
    EscapedRuns(6, "escape5", width=5),
    CSR(7, "csr"),
    GolombGaps(8, "golomb"),
    GolombMaskedGaps(11, "golomb-masked", word="golomb"),
    Rows(9, "rows"),
    Columns(10, "columns"),
)
# The number that a file gives a tensor which is another under a second name. It holds no positions.
SAME = 1

BY_NUMBER = {encoding.number: encoding for encoding in ENCODINGS}
DENSE = BY_NUMBER[0]
NAMES = {SAME: "same"} | {encoding.number: encoding.name for encoding in ENCODINGS}
# What a person may ask for; `auto` is the cheapest of all.
WORDS = ("auto", *dict.fromkeys(encoding.word for encoding in ENCODINGS))
