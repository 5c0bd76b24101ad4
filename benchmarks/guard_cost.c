/* What the guard costs without a model: nanoseconds of erai_admit and erai_judge on guard programs made here.
 *
 *     guard_cost [ROUNDS]
 *
 * The contenders take turns, a block of calls each, with one that calls nothing among them; one thread. Prints p10, p50
 * and p90 over the rounds of one call, and p50 of one row and one value, all less the p50 of the call of nothing. Rows
 * are drawn from the reference they are guarded with, and are accepted. */
#define _POSIX_C_SOURCE 200809L
#include <edge_rai.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { BINS = 32, ROUNDS = 300, MOST_ROUNDS = 10000, FEATURES = 30 };

/* What a contender guards: `rank` axes, features along one of them, and for each of them what `sketched` says. */
typedef struct subject {
    const char *name;
    int64_t shape[4]; /* as given; axis 0 counts rows */
    uint32_t rank, dtype, axis, stride;
    int sketched; /* 32 bins and moments; else only finite and range */
    uint32_t directions;
    double effect;     /* that drift is watched for; 0: it is not */
    uint32_t k;        /* of the session's sketches of quantiles; 0: none */
    int calls;         /* in a block */
    size_t rows, next; /* that calls of one row take in turn */
    erai_session *session;
    erai_answer *answer;
    void *values;
    size_t row_values;
    double ns[MOST_ROUNDS];
} subject;

static void must(int holds, const char *what) {
    if (holds) return;
    fprintf(stderr, "guard_cost: %s\n", what);
    exit(1);
}

static double now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* A number from 0 to 1 (Marsaglia's xorshift64), the same numbers in every run. */
static double draw(void) {
    static uint64_t state = 88172645463325252u;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (double)(state >> 11) * 0x1p-53;
}

static void add_features(erai_policy *policy, const subject *of) {
    double edges[BINS - 1];
    uint64_t counts[BINS];
    for (int i = 0; i < BINS; i++) counts[i] = 100;
    for (int i = 0; i < BINS - 1; i++) edges[i] = 10.0 * (i + 1) / BINS;
    for (int64_t f = 0; f < of->shape[of->axis]; f++) {
        char name[16];
        snprintf(name, sizeof name, "f%d", (int)f);
        erai_feature_rule rule = {.struct_size = sizeof rule,
                                  .name = name,
                                  .low = 0,
                                  .high = 255,
                                  .mean = 5,
                                  .stddev = 2.9,
                                  .reference_rows = 100 * BINS,
                                  .edges = edges,
                                  .counts = counts,
                                  .bins = of->sketched ? BINS : 0};
        must(erai_policy_add_feature(policy, &rule, NULL) == ERAI_OK, "a feature is refused");
    }
}

static void set_distance(erai_policy *policy, const subject *of) {
    double mean[FEATURES], scale[FEATURES];
    float projection[FEATURES * FEATURES] = {0}, weights[FEATURES];
    for (uint32_t k = 0; k < of->directions; k++) {
        mean[k] = 5;
        scale[k] = 1 / 2.9;
        weights[k] = 1;
        for (uint32_t f = 0; f <= k; f++) projection[k * FEATURES + f] = f == k ? 1.0f : 0.01f;
    }
    erai_distance_rule rule = {.struct_size = sizeof rule,
                               .mean = mean,
                               .scale = scale,
                               .projection = projection,
                               .weights = weights,
                               .directions = of->directions,
                               .verdict = ERAI_VERDICT_REJECT,
                               .threshold = 1000};
    must(erai_policy_set_distance(policy, &rule, NULL) == ERAI_OK, "the distance is refused");
}

static void watch(erai_policy *policy, const subject *of) {
    uint32_t strides[FEATURES];
    for (int i = 0; i < FEATURES; i++) strides[i] = 1;
    erai_drift_rule rule = {.struct_size = sizeof rule,
                            .average_run_length = 1e15,
                            .effect = of->effect,
                            .strides = strides,
                            .features = FEATURES};
    must(erai_policy_set_drift(policy, &rule, NULL) == ERAI_OK, "the drift rule is refused");
}

static erai_guard *make_guard(const subject *of) {
    static const int64_t output_shape[] = {-1, 2};
    int64_t shape[4], most[4];
    for (uint32_t i = 0; i < of->rank; i++) shape[i] = i ? of->shape[i] : -1;
    for (uint32_t i = 0; i < of->rank; i++) most[i] = i ? of->shape[i] : 4096;
    erai_policy *policy = NULL;
    erai_guard *guard = NULL;
    erai_input_rule input = {.struct_size = sizeof input,
                             .name = "x",
                             .shape = shape,
                             .max_shape = most,
                             .rank = of->rank,
                             .dtype = of->dtype,
                             .flags = ERAI_RULE_FINITE,
                             .feature_axis = (int32_t)of->axis,
                             .sketch_stride = of->stride};
    erai_output_rule output = {.struct_size = sizeof output,
                               .name = "y",
                               .shape = output_shape,
                               .rank = 2,
                               .dtype = ERAI_DTYPE_FLOAT32,
                               .flags = ERAI_RULE_FINITE | ERAI_RULE_SHAPE};
    must(erai_policy_open(1, &policy) == ERAI_OK, "no policy");
    must(erai_policy_add_input(policy, &input, NULL) == ERAI_OK, "the input is refused");
    add_features(policy, of);
    if (of->directions) set_distance(policy, of);
    must(erai_policy_add_output(policy, &output, NULL) == ERAI_OK, "the output is refused");
    if (of->effect > 0) watch(policy, of);
    char detail[ERAI_DETAIL_SIZE] = "out of memory";
    size_t size = 0;
    erai_policy_write(policy, NULL, 0, &size, NULL);
    uint8_t *bytes = malloc(size);
    must(bytes && erai_policy_write(policy, bytes, size, &size, detail) == ERAI_OK, detail);
    must(erai_guard_open(bytes, size, &guard, NULL) == ERAI_OK, "the guard program is refused");
    erai_policy_close(policy);
    free(bytes);
    return guard;
}

static void open_subject(subject *of) {
    static const uint8_t digest[ERAI_DIGEST_SIZE] = {0};
    erai_guard *guard = make_guard(of);
    erai_session_config config = {.struct_size = sizeof config, .quantiles_k = of->k};
    must(erai_session_open_guard(guard, digest, &config, &of->session, NULL) == ERAI_OK, "no session");
    must(erai_answer_open(of->session, &of->answer) == ERAI_OK, "no answer");
    erai_guard_close(guard);
    of->row_values = 1;
    for (uint32_t i = 1; i < of->rank; i++) of->row_values *= (size_t)of->shape[i];
    if (!of->rows) of->rows = (size_t)of->shape[0];
    size_t count = of->row_values * of->rows;
    of->values = malloc(count * erai_dtype_size(of->dtype));
    must(of->values != NULL, "out of memory");
    for (size_t i = 0; i < count; i++) {
        double value = 10 * draw();
        if (of->dtype == ERAI_DTYPE_FLOAT32) ((float *)of->values)[i] = (float)value;
        if (of->dtype == ERAI_DTYPE_FLOAT64) ((double *)of->values)[i] = value;
        if (of->dtype == ERAI_DTYPE_INT64) ((int64_t *)of->values)[i] = (int64_t)value;
        if (of->dtype == ERAI_DTYPE_UINT8) ((uint8_t *)of->values)[i] = (uint8_t)value;
    }
}

static void call(subject *of) {
    if (!of->session) return;
    static const float outputs[2 * 4096];
    int64_t output_shape[] = {of->shape[0], 2};
    const char *values = (const char *)of->values + of->next * of->row_values * erai_dtype_size(of->dtype);
    of->next = (of->next + (size_t)of->shape[0]) % of->rows;
    erai_tensor input = {.data = values, .shape = of->shape, .rank = of->rank, .dtype = of->dtype};
    erai_tensor output = {.data = outputs, .shape = output_shape, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32};
    size_t admitted = 0;
    erai_admit(of->session, &input, 1, of->answer, &admitted);
    erai_judge(of->session, &output, 1, of->answer);
    must(erai_answer_verdict(of->answer) == ERAI_VERDICT_ACCEPT, "a row was not accepted");
}

static int compare(const void *one, const void *other) {
    double a = *(const double *)one, b = *(const double *)other;
    return (a > b) - (a < b);
}

int main(int argc, char **argv) {
#define ROW(features, type) .shape = {1, features}, .rank = 2, .dtype = ERAI_DTYPE_##type, .axis = 1, .calls = 500
#define WATCHED .stride = 1, .sketched = 1, .rows = 1024
#define LONG .stride = 1, .sketched = 1, .rows = 8192
#define ROWS .shape = {256, FEATURES}, .rank = 2, .dtype = ERAI_DTYPE_FLOAT32, .axis = 1, .calls = 4
#define IMAGE(type) .shape = {1, 3, 224, 224}, .rank = 4, .dtype = ERAI_DTYPE_##type, .axis = 1, .calls = 20
    static subject subjects[] = {
        {.name = "nothing", .shape = {1}, .calls = 1000},
        {.name = "1 feature, range", ROW(1, FLOAT32), .stride = 1},
        {.name = "30 features, range", ROW(FEATURES, FLOAT32), .stride = 1},
        {.name = "30 features, sketched", ROW(FEATURES, FLOAT32), .stride = 1, .sketched = 1},
        {.name = "  and Mahalanobis", ROW(FEATURES, FLOAT32), .stride = 1, .sketched = 1, .directions = FEATURES},
        /* An effect of 1 needs nothing learned, one of 0.001 more than is called here. */
        {.name = "  and watched, learning", ROW(FEATURES, FLOAT32), WATCHED, .effect = 0.001},
        {.name = "  and watched", ROW(FEATURES, FLOAT32), WATCHED, .effect = 1},
        /* Of rows that come again soon a processor would learn how their values are sorted. */
        {.name = "  and quantiles, learning", ROW(FEATURES, FLOAT32), LONG, .effect = 0.001, .k = 200},
        {.name = "  and quantiles, k 200", ROW(FEATURES, FLOAT32), LONG, .effect = 1, .k = 200},
        {.name = "30 float64, sketched", ROW(FEATURES, FLOAT64), .stride = 1, .sketched = 1},
        {.name = "30 int64, sketched", ROW(FEATURES, INT64), .stride = 1, .sketched = 1},
        {.name = "256 rows of 30, sketched", ROWS, .stride = 1, .sketched = 1},
        {.name = "  and Mahalanobis", ROWS, .stride = 1, .sketched = 1, .directions = FEATURES},
        {.name = "3x224x224 float32, range", IMAGE(FLOAT32), .stride = 1},
        {.name = "  each 49th sketched", IMAGE(FLOAT32), .stride = 49, .sketched = 1},
        {.name = "3x224x224 uint8, range", IMAGE(UINT8), .stride = 1},
        {.name = "224x224x3 float32, range",
         .shape = {1, 224, 224, 3},
         .rank = 4,
         .dtype = ERAI_DTYPE_FLOAT32,
         .axis = 3,
         .stride = 1,
         .calls = 20},
    };
    enum { COUNT = sizeof subjects / sizeof *subjects };
    int rounds = argc > 1 ? atoi(argv[1]) : ROUNDS;
    if (rounds < 1 || rounds > MOST_ROUNDS) return 2;
    for (size_t i = 1; i < COUNT; i++) open_subject(&subjects[i]);
    for (int round = -3; round < rounds; round++) /* the first ones warm up */
        for (size_t i = 0; i < COUNT; i++) {
            double start = now_ns();
            for (int k = 0; k < subjects[i].calls; k++) call(&subjects[i]);
            if (round >= 0) subjects[i].ns[round] = (now_ns() - start) / subjects[i].calls;
        }
    printf("%-28s %10s %10s %10s %10s %10s\n", "", "p10 ns", "p50 ns", "p90 ns", "ns a row", "ns a value");
    for (size_t i = 0; i < COUNT; i++) {
        subject *of = &subjects[i];
        qsort(of->ns, (size_t)rounds, sizeof *of->ns, compare);
        double nothing = i ? subjects[0].ns[rounds / 2] : 0;
        double least = of->ns[rounds / 10] - nothing, middle = of->ns[rounds / 2] - nothing;
        double most = of->ns[rounds * 9 / 10] - nothing, row = middle / (double)of->shape[0];
        printf("%-28s %10.1f %10.1f %10.1f %10.1f %10.2f\n", of->name, least, middle, most, row,
               of->row_values ? row / (double)of->row_values : 0.0);
    }
    for (size_t i = 1; i < COUNT; i++) {
        erai_drift drift;
        if (subjects[i].effect > 0) /* after which nothing would have been watched */
            must(erai_session_drift(subjects[i].session, &drift) == ERAI_OK && !drift.alarm_row, "there was an alarm");
        erai_answer_close(subjects[i].answer);
        erai_session_close(subjects[i].session);
        free(subjects[i].values);
    }
    return 0;
}
