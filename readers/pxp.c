/* Reads .pxp files, pruned models as docs/format.md specifies them, with nothing but C11.

       cc -O2 -o pxp pxp.c
       ./pxp model.pxp                  lists the tensors
       ./pxp model.pxp NAME > raw.bin   writes one, dense: float32, or the type it was stored as is

   Every length is checked before it is used; what is wrong ends in a line and status 1. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { DENSE, SAME, BITMASK, RUNS4, RUNS5, ESCAPE4, ESCAPE5, CSR, GOLOMB, ROWS, COLUMNS, MASKED };
static const char *const ENCODINGS[] = {"dense", "same", "bitmask", "runs4", "runs5", "escape4",
    "escape5", "csr", "golomb", "rows", "columns", "golomb-masked"};
static const int WIDTHS[] = {4, 2, 2, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 8, 4, 2, 1, 1, 1, 2};
#define MOST (UINT64_C(1) << 40) /* entries of a tensor */

typedef struct {
    const uint8_t *name, *shape, *streams[4];
    uint64_t name_length, parameter, kept, dimensions, entries, rows, columns, begin, end;
    uint64_t lengths[4]; /* positions, positions, values, scales */
    int encoding, values;
    uint32_t checksum;
} Tensor;

static void demand(int holds, const char *what) {
    if (!holds) { fprintf(stderr, "pxp: %s\n", what); exit(1); }
}
static void *space(uint64_t bytes) {
    void *found = calloc(bytes ? bytes : 1, 1);
    demand(found != NULL, "out of memory");
    return found;
}
static uint64_t get(const uint8_t *at, int bytes) { /* little-endian */
    uint64_t value = 0;
    while (bytes--) value = value << 8 | at[bytes];
    return value;
}
static int bit(const uint8_t *stream, uint64_t i) { return stream[i >> 3] >> (i & 7) & 1; }
static uint64_t packed(uint64_t bits) { return bits / 8 + (bits % 8 != 0); }
static uint64_t aligned(uint64_t bytes) { return (bytes + 7) / 8 * 8; }
static uint64_t planes(const uint8_t *s, int width, uint64_t count, uint64_t i) {
    uint64_t value = 0;
    for (int p = 0; p < width; p++) value = value << 1 | (uint64_t)bit(s + p * packed(count), i);
    return value;
}
static uint32_t crc(uint32_t sum, const uint8_t *data, uint64_t length) {
    static uint32_t table[256];
    for (uint32_t i = 0; i < 256 && !table[255]; i++) {
        table[i] = i;
        for (int k = 0; k < 8; k++) table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xEDB88320u : 0);
    }
    for (sum = ~sum; length--; data++) sum = sum >> 8 ^ table[(sum ^ *data) & 255];
    return ~sum;
}

static int is_utf8(const uint8_t *text, uint64_t length) { /* shortest form, no half characters */
    for (uint64_t i = 0; i < length;) {
        uint32_t c = text[i++], more = c < 0x80 ? 0 : c < 0xE0 ? 1 : c < 0xF0 ? 2 : 3, sign = c;
        if (c >= 0x80 && (c < 0xC2 || c > 0xF4)) return 0;
        if (more) sign = c & (0x3Fu >> more);
        if (more > length - i) return 0;
        for (uint32_t k = 0; k < more; k++) {
            if ((text[i] & 0xC0) != 0x80) return 0;
            sign = sign << 6 | (text[i++] & 0x3Fu);
        }
        if ((more == 2 && sign < 0x800) || (more == 3 && (sign < 0x10000 || sign > 0x10FFFF)) ||
            (sign >= 0xD800 && sign <= 0xDFFF)) return 0;
    }
    return 1;
}

/* --- the header ------------------------------------------------------------------------------ */

static uint64_t record(Tensor *t, const uint8_t *data, uint64_t at, uint64_t end) {
    demand(end - at >= 48, "the table ends within a tensor");
    const uint8_t *r = data + at;
    t->checksum = (uint32_t)get(r, 4), t->name_length = get(r + 4, 2);
    t->encoding = r[6], t->values = r[7];
    t->parameter = get(r + 8, 8), t->kept = get(r + 16, 8), t->dimensions = get(r + 40, 8);
    t->shape = r + 48;
    demand(t->dimensions <= 32 && end - at >= 48 + 8 * t->dimensions + t->name_length,
           "the table ends within a tensor's shape or name");
    t->name = t->shape + 8 * t->dimensions;
    for (uint64_t i = 0; i < t->name_length; i++)
        demand(t->name[i] >= 32 && t->name[i] != 127 &&
               !(t->name[i] == 0xC2 && i + 1 < t->name_length && t->name[i + 1] < 0xA0),
               "a name with control characters");
    demand(is_utf8(t->name, t->name_length), "a name that is not UTF-8");
    demand(t->encoding <= MASKED, "unknown encoding");
    demand(t->values < 24 && WIDTHS[t->values], "unknown type of values");
    uint64_t extent = 1, columns = 1;
    t->rows = 1, t->entries = 1;
    for (uint64_t i = 0; i < t->dimensions; i++) {
        uint64_t size = get(t->shape + 8 * i, 8);
        demand((size ? size : 1) <= MOST / extent, "more than 2^40 entries");
        extent *= size ? size : 1, t->entries *= size;
        if (i == 0 && t->dimensions > 1) t->rows = size; else columns *= size;
    }
    t->columns = columns;
    demand(t->kept <= t->entries, "more kept than there are");
    int filled = t->encoding == RUNS4 || t->encoding == RUNS5;
    t->lengths[0] = get(r + 24, 8), t->lengths[1] = get(r + 32, 8);
    uint64_t stored = t->encoding == DENSE ? t->entries : filled ? t->parameter : t->kept;
    demand(stored <= MOST && t->lengths[0] <= MOST && t->lengths[1] <= MOST, "a tensor too long");
    if (t->encoding == SAME) return at + aligned(48 + 8 * t->dimensions + t->name_length);
    t->lengths[2] = stored * (uint64_t)WIDTHS[t->values];
    t->lengths[3] = t->values == 3 ? 4 * t->rows : 0;
    return at + aligned(48 + 8 * t->dimensions + t->name_length);
}
static int by_name(const void *one, const void *other) {
    const Tensor *a = *(Tensor *const *)one, *b = *(Tensor *const *)other;
    uint64_t shorter = a->name_length < b->name_length ? a->name_length : b->name_length;
    int found = memcmp(a->name, b->name, shorter);
    return found ? found : (a->name_length > b->name_length) - (a->name_length < b->name_length);
}
static Tensor *table(const uint8_t *data, uint64_t size, uint64_t *count, uint64_t *dense) {
    demand(size >= 40 && !memcmp(data, "\x89PXP\r\n\x1a\n", 8), "not a .pxp file");
    demand(get(data + 8, 4) == 1, "another format version");
    uint64_t length = get(data + 16, 8);
    demand(get(data + 24, 8) == size, "not as long as its header states");
    demand(length >= 40 && length <= size && length % 8 == 0, "a header of impossible length");
    uint32_t sum = crc(crc(0, data, 32), (const uint8_t *)"\0\0\0\0", 4);
    demand(crc(sum, data + 36, length - 36) == get(data + 32, 4), "the header's checksum is wrong");
    *count = get(data + 12, 4), *dense = 0;
    demand(*count <= (length - 40) / 48, "the table ends within a tensor");
    Tensor *all = space(*count * sizeof *all), **sorted = space(*count * sizeof *sorted);
    uint64_t at = 40, begin = length;
    for (uint64_t i = 0; i < *count; i++) {
        Tensor *t = sorted[i] = &all[i];
        demand(at <= length, "the table ends within a tensor");
        at = record(t, data, at, length);
        if (t->encoding == SAME) {
            const Tensor *other = &all[t->parameter < i ? t->parameter : 0];
            demand(t->parameter < i && other->encoding != SAME && t->values == other->values &&
                   t->dimensions == other->dimensions && t->kept == other->kept &&
                   !t->lengths[0] && !t->lengths[1] &&
                   !memcmp(t->shape, other->shape, 8 * t->dimensions), "a wrong repetition");
        }
        t->begin = begin;
        for (int s = 0; s < 4; s++) {
            t->streams[s] = data + begin;
            demand(t->lengths[s] <= size - begin, "a tensor ends beyond the file");
            demand(aligned(t->lengths[s]) <= size - begin, "a tensor ends beyond the file");
            begin += aligned(t->lengths[s]);
        }
        t->end = begin;
        *dense += t->entries * (uint64_t)(t->values < 4 ? 4 : WIDTHS[t->values]);
        if (*dense > UINT64_C(1) << 62) *dense = UINT64_C(1) << 62;
    }
    uint64_t notes = get(data + 36, 4);
    demand(notes <= 1 << 20 && at + aligned(notes) == length, "notes of another length");
    demand(begin == size, "bytes that belong to no tensor");
    qsort(sorted, *count, sizeof *sorted, by_name);
    for (uint64_t i = 1; i < *count; i++)
        demand(by_name(&sorted[i - 1], &sorted[i]) != 0, "two tensors of one name");
    free(sorted);
    return all;
}

/* --- positions: 1 in `marks` for each stored value --------------------------------------------- */

static uint64_t placed; /* weights found */
static void place(uint8_t *marks, uint64_t entries, uint64_t position) {
    demand(position < entries, "a position beyond the last entry");
    marks[position] = 1, placed++;
}
/* Within a class of lines, `lines` says which line each one is; else it is NULL. */
static void golomb(const Tensor *t, uint8_t *marks, const uint8_t *a, uint64_t a_length,
                   const uint8_t *b, uint64_t b_length, uint64_t m, uint64_t count,
                   const uint64_t *lines, uint64_t span) {
    demand(m >= 1 && m <= UINT64_C(1) << 31, "a Golomb parameter out of range");
    int width = 0;
    while (m >> (width + 1)) width++;
    uint64_t small = (UINT64_C(2) << width) - m, longer = 0, at = 0, x = 0;
    demand(count <= 8 * a_length && b_length >= (uint64_t)width * packed(count), "short streams");
    uint64_t further = 8 * (uint64_t)width * packed(count);
    for (uint64_t i = 0; i < count; i++, x++) {
        uint64_t quotient = 0;
        for (;; quotient++) {
            demand(at < 8 * a_length, "fewer positions than stated");
            if (bit(a, at++)) break;
        }
        uint64_t r = planes(b, width, count, i);
        if (r >= small) {
            demand(further + longer < 8 * b_length, "too few further bits");
            r = 2 * r + (uint64_t)bit(b, further + longer++) - small;
        }
        demand(quotient <= span / m && (x += quotient * m + r) < span, "a position too far");
        if (!lines) place(marks, span, x);
        else if (t->encoding == ROWS)
            place(marks, t->entries, lines[x / t->columns] * t->columns + x % t->columns);
        else place(marks, t->entries, x % t->rows * t->columns + lines[x / t->rows]);
    }
    demand(a_length == packed(at), "bytes after the last quotient");
    while (at < 8 * a_length) demand(!bit(a, at++), "more positions than stated");
    demand(b_length == (uint64_t)width * packed(count) + packed(longer), "bytes after remainders");
}
static void in_lines(const Tensor *t, uint8_t *marks) {
    const uint8_t *first = t->streams[0], *second = t->streams[1];
    uint64_t count = t->encoding == ROWS ? t->rows : t->columns, at = 0;
    uint64_t length = t->encoding == ROWS ? t->columns : t->rows;
    demand(t->parameter >= 1 && t->parameter <= 4, "labels of impossible width");
    uint64_t width = t->parameter, head = 16 * ((UINT64_C(1) << width) - 1);
    demand(t->lengths[0] == head + width * packed(count), "labels of another length");
    uint64_t *lines = space(8 * count);
    for (uint64_t label = 1; label < UINT64_C(1) << width; label++) {
        const uint8_t *row = first + 16 * (label - 1);
        uint64_t found = 0, a = get(row + 8, 4), b = get(row + 12, 4);
        for (uint64_t i = 0; i < count; i++)
            if (planes(first + head, (int)width, count, i) == label) lines[found++] = i;
        demand(a + b <= t->lengths[1] - at, "the codes of a class end too late");
        golomb(t, marks, second + at, a, second + at + a, b, get(row + 4, 4), get(row, 4), lines,
               found * length);
        at += a + b;
    }
    demand(at == t->lengths[1], "bytes after the last class");
    free(lines);
}
static void runs(const Tensor *t, uint8_t *marks) {
    int filled = t->encoding <= RUNS5, width = t->encoding == RUNS4 || t->encoding == ESCAPE4 ? 4 : 5;
    uint64_t codes = t->parameter, highest = (UINT64_C(1) << width) - 1, p = 0, fillers = 0;
    uint64_t bytes = (uint64_t)WIDTHS[t->values];
    demand(codes <= 8 * t->lengths[0] && t->lengths[0] == (uint64_t)width * packed(codes),
           "codes of another length");
    demand(filled ? t->lengths[1] % 8 == 0 : !t->lengths[1], "a second stream of wrong length");
    uint8_t *named = space(codes); /* kept zeros that look like fillers */
    for (uint64_t i = 0; i < t->lengths[1] / 8; i++) {
        uint64_t entry = get(t->streams[1] + 8 * i, 8);
        demand(entry < codes, "a kept zero that is not there");
        named[entry] = 1;
    }
    for (uint64_t i = 0; i < codes; i++) {
        uint64_t code = planes(t->streams[0], width, codes, i);
        p += code;
        if (!filled && code == highest) continue;
        place(marks, t->entries, p++);
        if (!filled || code != highest || named[i]) continue;
        uint64_t zeros = 0;
        while (zeros < bytes && !t->streams[2][i * bytes + zeros]) zeros++;
        fillers += zeros == bytes;
    }
    placed -= fillers;
    free(named);
}
static void csr(const Tensor *t, uint8_t *marks) {
    demand(t->parameter == 32 || t->parameter == 64, "row pointers of impossible width");
    int bytes = (int)t->parameter / 8;
    demand(t->lengths[0] == (t->rows + 1) * (uint64_t)bytes && t->lengths[1] == 4 * t->kept,
           "row pointers or columns of another length");
    uint64_t from = get(t->streams[0], bytes);
    demand(from == 0, "row pointers that do not begin at 0");
    for (uint64_t row = 0; row < t->rows; row++) {
        uint64_t to = get(t->streams[0] + (row + 1) * (uint64_t)bytes, bytes), next = 0;
        demand(to >= from && to <= t->kept, "row pointers that do not rise");
        for (; from < to; from++) {
            uint64_t column = get(t->streams[1] + 4 * from, 4);
            demand(column >= next && column < t->columns, "columns that do not rise");
            next = column + 1;
            place(marks, t->entries, row * t->columns + column);
        }
    }
}
static uint8_t *positions(const Tensor *t) {
    uint8_t *marks = space(t->entries);
    placed = 0;
    if (t->encoding == DENSE) {
        demand(!t->lengths[0] && !t->lengths[1], "dense, yet with positions");
        demand(t->kept == t->entries, "dense, yet not all is kept");
        memset(marks, 1, t->entries), placed = t->entries;
    } else if (t->encoding == BITMASK) {
        demand(t->lengths[0] == packed(t->entries) && !t->lengths[1], "a mask of another length");
        for (uint64_t i = 0; i < t->entries; i++)
            if (bit(t->streams[0], i)) place(marks, t->entries, i);
    } else if (t->encoding == CSR) csr(t, marks);
    else if (t->encoding == ROWS || t->encoding == COLUMNS) in_lines(t, marks);
    else if (t->encoding == GOLOMB || t->encoding == MASKED) {
        uint64_t count = t->encoding == GOLOMB ? t->kept : t->entries - t->kept;
        golomb(t, marks, t->streams[0], t->lengths[0], t->streams[1], t->lengths[1],
               t->parameter, count, NULL, t->entries);
        for (uint64_t i = 0; t->encoding == MASKED && i < t->entries; i++) marks[i] ^= 1;
        placed = t->kept;
    } else runs(t, marks);
    demand(placed == t->kept, "another number of weights than stated");
    return marks;
}

/* --- values ---------------------------------------------------------------------------------- */

static float half(uint64_t bits) {
    int exponent = bits >> 10 & 31;
    float part = (float)(bits & 1023), sign = bits >> 15 ? -1.0f : 1.0f;
    if (exponent == 31) return part != 0 ? NAN : sign * INFINITY;
    return sign * (exponent ? ldexpf(1024 + part, exponent - 25) : ldexpf(part, -24));
}
static void dense(const Tensor *t, FILE *out) {
    const uint8_t *value = t->streams[2];
    size_t width = (size_t)WIDTHS[t->values], wide = t->values < 4 ? 4 : width;
    for (uint64_t r = 0; r < t->lengths[3] / 4; r++) {
        uint64_t bits = get(t->streams[3] + 4 * r, 4); /* -0.0 is no less than 0 */
        demand(bits < 0x7F800000 || bits == 0x80000000, "a scale negative or not finite");
    }
    for (uint64_t i = 0; t->values == 22 && i < t->lengths[2]; i++)
        demand(value[i] <= 1, "a truth value that is neither 0 nor 1");
    uint8_t *marks = positions(t), *all = space(t->entries * wide);
    for (uint64_t i = 0; i < t->entries; i++) {
        if (!marks[i]) continue;
        uint32_t bits = t->values == 2 ? (uint32_t)get(value, 2) << 16 : 0;
        float number = 0;
        if (t->values == 1) number = half(get(value, 2));
        if (t->values == 2) memcpy(&number, &bits, 4);
        if (t->values == 3) {
            bits = (uint32_t)get(t->streams[3] + 4 * (i / t->columns), 4);
            memcpy(&number, &bits, 4);
            number *= (float)(*value < 128 ? *value : *value - 256);
        }
        if (t->values >= 1 && t->values <= 3) memcpy(all + i * wide, &number, 4);
        else memcpy(all + i * wide, value, wide);
        value += width;
    }
    demand(fwrite(all, wide, t->entries, out) == t->entries && !fflush(out), "cannot write");
    free(marks), free(all);
}

int main(int count, char **words) {
    demand(count == 2 || count == 3, "usage: pxp FILE [TENSOR]");
    FILE *file = fopen(words[1], "rb");
    demand(file && !fseek(file, 0, SEEK_END), "the file cannot be read");
    long size = ftell(file);
    demand(size >= 0 && size < (long)MOST && !fseek(file, 0, SEEK_SET), "the file cannot be read");
    uint8_t *data = space((uint64_t)size);
    demand(fread(data, 1, (size_t)size, file) == (size_t)size, "the file cannot be read");
    uint64_t tensors, bytes;
    Tensor *all = table(data, (uint64_t)size, &tensors, &bytes);
    for (uint64_t i = 0; i < tensors; i++) {
        Tensor *t = &all[i];
        if (count == 2) {
            for (uint64_t k = 0; k < t->name_length; k++) /* other signs may hide or turn text */
                if (t->name[k] < 128) putchar(t->name[k]);
                else printf("\\x%02x", t->name[k]);
            printf("\t%s\tkept %llu of %llu\t", ENCODINGS[t->encoding],
                   (unsigned long long)t->kept, (unsigned long long)t->entries);
            for (uint64_t d = 0; d < t->dimensions; d++)
                printf("%s%llu", d ? "x" : "", (unsigned long long)get(t->shape + 8 * d, 8));
            putchar('\n');
        } else if (t->name_length == strlen(words[2]) &&
                   !memcmp(t->name, words[2], t->name_length)) {
            if (t->encoding == SAME) t = &all[t->parameter];
            demand(bytes <= (UINT64_C(16) << 20) + 1024 * (uint64_t)size,
                   "the tensors would take more memory than the file's length justifies");
            demand(crc(0, data + t->begin, t->end - t->begin) == t->checksum,
                   "the tensor's checksum is wrong");
            dense(t, stdout);
            return 0;
        }
    }
    demand(count == 2, "no such tensor");
    return 0;
}
