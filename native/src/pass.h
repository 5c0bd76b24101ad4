/* The pass over the rows of one input, in one of the two widths: a template that validate.c includes for each, with
 * ER_NUMBER, the number it reads, ER_LANES of which are a vector, and ER_BIN, an integer as wide; ER_OF(name), its own
 * name for something; ER_NUMBERS and ER_BINS, vectors of them; and ER_READ, ER_LIMITS, ER_PLACE and ER_STANDARDIZE,
 * what it reads, compares and sketches with.
 *
 * A piece of a row is checked first, several values at a time and without a branch for each. Only where all of its
 * values are inside their limits, which says that they are finite too, are they sketched in the same manner; any other
 * piece goes through settle_piece, value by value. */

/* Whether a piece is inside its limits: each value those of its own column, or all of them the same. A vector at a
 * time, the last values together with some before them; without a branch for each. */
ER_INLINE int ER_OF(all)(ER_BINS inside) {
    er_wide_bins bits = (er_wide_bins)inside;
    return ((bits[0] & bits[1]) & (bits[2] & bits[3])) == UINT64_MAX;
}

ER_INLINE void ER_OF(narrow_down)(const ER_NUMBER *low, const ER_NUMBER *high, const ER_NUMBER *values,
                                  ER_BINS *inside) {
    const ER_NUMBERS value = *(const ER_NUMBERS *)(const void *)values;
    *inside &= (ER_BINS)(value >= *(const ER_NUMBERS *)(const void *)low);
    *inside &= (ER_BINS)(value <= *(const ER_NUMBERS *)(const void *)high);
}

ER_INLINE int ER_OF(columns_inside)(const ER_NUMBER *low, const ER_NUMBER *high, const ER_NUMBER *values,
                                    size_t count) {
    ER_BINS inside = ~(ER_BINS){0};
    ER_NUMBER few[ER_LANES] = {0};
    if (ER_UNLIKELY(count < ER_LANES)) { /* the last ones of a row: limits end in zeros too */
        memcpy(few, values, count * sizeof *few);
        values = few;
        count = ER_LANES;
    }
    size_t i = 0;
    for (; i + ER_LANES <= count; i += ER_LANES) ER_OF(narrow_down)(low + i, high + i, values + i, &inside);
    i = count - ER_LANES;
    if (count % ER_LANES) ER_OF(narrow_down)(low + i, high + i, values + i, &inside);
    return ER_OF(all)(inside);
}

ER_INLINE int ER_OF(run_inside)(ER_NUMBER low, ER_NUMBER high, const ER_NUMBER *values, size_t count) {
    const ER_NUMBERS lows = low + (ER_NUMBERS){0}, highs = high + (ER_NUMBERS){0};
    const ER_NUMBERS *vectors = (const ER_NUMBERS *)(const void *)values;
    ER_BINS inside = ~(ER_BINS){0};
    size_t whole = count / ER_LANES, i = 0;
    for (; i + 4 <= whole; i += 4) /* unrolled */
        for (size_t k = i; k < i + 4; k++) inside &= (ER_BINS)(lows <= vectors[k]) & (ER_BINS)(highs >= vectors[k]);
    for (; i < whole; i++) inside &= (ER_BINS)(lows <= vectors[i]) & (ER_BINS)(highs >= vectors[i]);
    int few = 1;
#pragma GCC unroll 1
    for (i *= ER_LANES; i < count; i++) few &= (values[i] >= low) & (values[i] <= high);
    return few & ER_OF(all)(inside);
}

/* Whether the values are those that came: integers of 64 bits are rounded beyond 2^53. */
ER_INLINE int ER_OF(exact)(const er_pass *pass, const ER_NUMBER *values, size_t count) {
    const ER_NUMBER most = (ER_NUMBER)9007199254740991.0;
    return !pass->rounds || ER_OF(run_inside)(-most, most, values, count);
}

/* Bins of ER_LANES values each of any number of rows, `width` numbers apart. */
ER_INLINE void ER_OF(place)(const ER_NUMBER (*edges)[ER_LANES], const ER_NUMBER *values, size_t width, size_t rows,
                            ER_BINS *bins) {
    size_t row = 0;
    for (; row + ER_TOGETHER <= rows; row += ER_TOGETHER)
        ER_PLACE(edges, values + row * width, width, ER_TOGETHER, bins + row);
    for (; row < rows; row++) ER_PLACE(edges, values + row * width, width, 1, bins + row);
}

/* Moments of ER_LANES values. The loop is to become one step of a vector, and would not if it were unrolled first. */
ER_INLINE void ER_OF(standardize)(const ER_NUMBER *values, const ER_NUMBER *mean, const ER_NUMBER *z_scale,
                                  int32_t *z) {
#pragma GCC unroll 1
    for (size_t lane = 0; lane < ER_LANES; lane++) z[lane] = ER_STANDARDIZE(values[lane], mean[lane], z_scale[lane]);
}

/* One value each of the features from `first` on, of at most ER_WAITING rows. Rows are `width` numbers apart and, like
 * moments and edges, padded with zeros to whole vectors. Values are counted apart from finding their places: among
 * stores whose addresses are known late a processor may hold back the loads that follow. */
ER_INLINE void ER_OF(sketch_rows)(const er_pass *pass, const ER_NUMBER *rows, size_t width, size_t row_count,
                                  size_t first, size_t count) {
    for (size_t f = 0; f < count; f += ER_LANES) {
        size_t feature = first + f, lanes = count - f < ER_LANES ? count - f : ER_LANES;
        int32_t z[ER_LANES], sum[ER_LANES] = {0}, sum_squares[ER_LANES] = {0}; /* of squares at most 2^27 */
        union {
            ER_BINS all[ER_WAITING];
            ER_BIN of[ER_WAITING][ER_LANES];
        } bins;
        uint32_t (*histogram)[ERAI_MAX_BINS] = pass->into.histogram + feature;
        ER_OF(place)(ER_LIMITS.edges[feature / ER_LANES], rows + f, width, row_count, bins.all);
        for (size_t row = 0; row < row_count; row++) {
            ER_OF(standardize)(rows + row * width + f, ER_LIMITS.mean + feature, ER_LIMITS.z_scale + feature, z);
#pragma GCC unroll 1
            for (size_t lane = 0; lane < ER_LANES; lane++) {
                sum[lane] += z[lane];
                sum_squares[lane] += z[lane] * z[lane];
            }
        }
        if (lanes == ER_LANES) /* unrolled */
            for (size_t row = 0; row < row_count; row++)
                for (size_t lane = 0; lane < ER_LANES; lane++) histogram[lane][bins.of[row][lane]]++;
        else
            for (size_t row = 0; row < row_count; row++)
                for (size_t lane = 0; lane < lanes; lane++) histogram[lane][bins.of[row][lane]]++;
        for (size_t row = 0; pass->cells && row < row_count; row++)
            for (size_t lane = 0; lane < lanes; lane++)
                pass->cells[row * pass->width + feature + lane] = (uint8_t)bins.of[row][lane];
        for (size_t lane = 0; lane < lanes; lane++) {
            pass->into.sum[feature + lane] += (uint64_t)(int64_t)sum[lane];
            pass->into.sum_squares[feature + lane] += (uint64_t)(uint32_t)sum_squares[lane];
        }
    }
}

ER_INLINE void ER_OF(sketch_columns)(const er_pass *pass, const ER_NUMBER *values, size_t first, size_t count) {
    for (size_t at = 0; at < count; at += ER_PLACES) {
        size_t some = count - at < ER_PLACES ? count - at : ER_PLACES;
        ER_NUMBER padded[ER_PLACES] = {0};
        memcpy(padded, values + at, some * sizeof *padded);
        ER_OF(sketch_rows)(pass, padded, 0, 1, first + at, some);
    }
}

/* Every stride-th value of a feature, with its moments and edges in every lane; `position` is that of the first among
 * the feature's values in the row. */
ER_INLINE void ER_OF(sketch_run)(const er_pass *pass, const ER_NUMBER *values, size_t feature, size_t position,
                                 size_t count) {
    size_t stride = pass->input->sketch_stride, skip = position % stride;
    uint32_t *histogram = pass->into.histogram[feature];
    ER_NUMBER mean[ER_LANES], z_scale[ER_LANES], edges[ERAI_MAX_BINS][ER_LANES];
    for (size_t lane = 0; lane < ER_LANES; lane++) {
        mean[lane] = ER_LIMITS.mean[feature];
        z_scale[lane] = ER_LIMITS.z_scale[feature];
    }
    for (size_t i = 0; i < ERAI_MAX_BINS; i++)
        for (size_t lane = 0; lane < ER_LANES; lane++)
            edges[i][lane] = ER_LIMITS.edges[feature / ER_LANES][i][feature % ER_LANES];
    int64_t sum = 0, sum_squares = 0;
    for (size_t i = skip ? stride - skip : 0; i < count;) {
        ER_NUMBER some[ER_PLACES];
        int32_t z[ER_PLACES];
        union {
            ER_BINS all[ER_PLACES / ER_LANES];
            ER_BIN of[ER_PLACES];
        } bins;
        size_t found = 0, whole;
        for (; found < ER_PLACES && i < count; i += stride) some[found++] = values[i];
        for (whole = found; whole % ER_LANES; whole++) some[whole] = *mean; /* which adds nothing to the sums */
        ER_OF(place)(edges, some, ER_LANES, whole / ER_LANES, bins.all);
        for (size_t at = 0; at < whole; at += ER_LANES) ER_OF(standardize)(some + at, mean, z_scale, z + at);
        for (size_t at = 0; at < found; at++) {
            sum += z[at];
            sum_squares += z[at] * z[at];
            histogram[bins.of[at]]++;
        }
    }
    pass->into.sum[feature] += (uint64_t)sum;
    pass->into.sum_squares[feature] += (uint64_t)sum_squares;
}

/* What the following return: whether all of it is finite and within its range. */

ER_INLINE int ER_OF(admit_columns)(const er_pass *pass, const er_piece *piece) {
    ER_NUMBER chunk[ER_CHUNK];
    const ER_NUMBER *values = ER_READ(pass, piece, chunk);
    size_t first = piece->feature, count = piece->count;
    if (!ER_OF(columns_inside)(ER_LIMITS.low + first, ER_LIMITS.high + first, values, count) ||
        !ER_OF(exact)(pass, values, count) || (pass->input->sentinels && holds_sentinel(pass, piece)))
        return settle_piece(pass, piece);
    if (pass->waiting)
        let_wait(pass, values, count * sizeof *values);
    else if (pass->input->sketched && piece->position % pass->input->sketch_stride == 0)
        ER_OF(sketch_columns)(pass, values, first, count);
    return 1;
}

ER_INLINE int ER_OF(admit_run)(const er_pass *pass, const er_piece *piece) {
    ER_NUMBER chunk[ER_CHUNK];
    const ER_NUMBER *values = ER_READ(pass, piece, chunk);
    size_t feature = piece->feature, count = piece->count;
    if (!ER_OF(run_inside)(ER_LIMITS.low[feature], ER_LIMITS.high[feature], values, count) ||
        !ER_OF(exact)(pass, values, count) || (pass->input->sentinels && holds_sentinel(pass, piece)))
        return settle_piece(pass, piece);
    if (pass->features[feature].bins) ER_OF(sketch_run)(pass, values, feature, piece->position, count);
    return 1;
}

/* Columns that come again and again, such as the channels of an image whose last axis they are, and rows of few values
 * are too little at a time: their limits are repeated, and the row, or many rows together, checked against those. */
typedef struct ER_OF(er_tile) {
    size_t count; /* of limits, a multiple of the features; 0: nothing is repeated */
    size_t rows;  /* that are checked together, of which `count` is the values; 0: a row is several tiles */
    ER_NUMBER low[ER_CHUNK], high[ER_CHUNK];
} ER_OF(er_tile);

ER_INLINE void ER_OF(lay_tile)(const er_pass *pass, const er_row *row, size_t rows, ER_OF(er_tile) * tile) {
    size_t features = row->features, size = row->outer * features * row->inner;
    tile->count = tile->rows = 0;
    if (features > ER_CHUNK / 8 || (row->inner > 1 && features > 1) || pass->input->sentinels) return;
    if (row->inner == 1 && size >= ER_CHUNK) {
        tile->count = ER_CHUNK / features * features;
    } else if (size && size <= ER_CHUNK / 8 && rows >= ER_CHUNK / size && !pass->checks && !pass->quantiles &&
               !pass->input->sketched) {
        tile->rows = ER_CHUNK / size;
        tile->count = tile->rows * size;
    }
    for (size_t i = 0; i < tile->count; i++) {
        tile->low[i] = ER_LIMITS.low[i % features];
        tile->high[i] = ER_LIMITS.high[i % features];
    }
}

ER_INLINE int ER_OF(tile_inside)(const er_pass *pass, const er_piece *piece, const ER_OF(er_tile) * tile) {
    ER_NUMBER chunk[ER_CHUNK];
    const ER_NUMBER *values = ER_READ(pass, piece, chunk);
    return ER_OF(columns_inside)(tile->low, tile->high, values, piece->count) &&
           ER_OF(exact)(pass, values, piece->count);
}

ER_INLINE int ER_OF(row_inside)(const er_pass *pass, const er_row *row, const ER_OF(er_tile) * tile) {
    size_t size = row->outer * row->features;
    int inside = 1;
    for (size_t at = 0; inside && at < size; at += tile->count) { /* the last together with some before them */
        er_piece piece = {
            .row = row, .element = size - at < tile->count ? size - tile->count : at, .count = tile->count};
        inside = ER_OF(tile_inside)(pass, &piece, tile);
    }
    return inside;
}

ER_INLINE int ER_OF(admit_row)(const er_pass *pass, const er_row *row, const ER_OF(er_tile) * tile) {
    int columns = row->inner == 1, in_order = 1;
    size_t width = columns ? row->features : row->inner, runs = columns ? 1 : row->features, step = 1;
    if (tile->count && !tile->rows && ER_OF(row_inside)(pass, row, tile)) { /* then only what is sketched is left */
        if (!pass->input->sketched) return 1;
        step = pass->input->sketch_stride;
    }
    for (size_t o = 0; o < row->outer; o += step)
        for (size_t f = 0; f < runs; f++)
            for (size_t i = 0; i < width; i += pass->chunk) {
                er_piece piece = {.row = row,
                                  .element = (o * runs + f) * width + i,
                                  .count = width - i < pass->chunk ? width - i : pass->chunk,
                                  .feature = columns ? i : f,
                                  .position = columns ? o : o * width + i,
                                  .columns = columns};
                in_order &= columns ? ER_OF(admit_columns)(pass, &piece) : ER_OF(admit_run)(pass, &piece);
            }
    return in_order;
}

ER_INLINE void ER_OF(admit_rows_body)(const er_pass *pass, er_row *row, size_t rows) {
    if (pass->waiting) { /* which are of one piece */
        er_piece piece = {.row = row, .count = row->features, .columns = 1};
        for (row->row = 0; row->row < rows; row->row++) {
            row->in_order = ER_OF(admit_columns)(pass, &piece);
            finish_row(pass, row);
        }
        return;
    }
    ER_OF(er_tile) tile;
    ER_OF(lay_tile)(pass, row, rows, &tile);
    for (row->row = 0; row->row < rows;) {
        size_t some = tile.rows && rows - row->row >= tile.rows ? tile.rows : 1;
        if (some > 1) {
            er_piece piece = {.row = row, .count = tile.count};
            if (ER_OF(tile_inside)(pass, &piece, &tile)) { /* then nothing is left to do */
                row->row += some;
                row->values = (const char *)row->values + some * pass->row_bytes;
                continue;
            }
        }
        for (size_t end = row->row + some; row->row < end; row->row++) {
            row->in_order = ER_OF(admit_row)(pass, row, &tile);
            finish_row(pass, row);
        }
    }
}

/* Rows that waited. */
ER_INLINE void ER_OF(sketch_waiting_body)(const er_pass *pass, const void *rows, size_t count) {
    ER_OF(sketch_rows)(pass, rows, pass->width, count, 0, pass->input->feature_count);
}
