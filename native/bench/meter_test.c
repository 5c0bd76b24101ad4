/* Meters, in a directory that stands for /sys. SPDX-License-Identifier: Apache-2.0 */
#define _XOPEN_SOURCE 700
#include "meter.h"

#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "er_test.h"

static char root[64];

static void put(const char *inside, const char *text) {
    char path[256];
    snprintf(path, sizeof path, "%s/%s", root, inside);
    for (char *at = path + 1; (at = strchr(at, '/')); at++) {
        *at = 0;
        mkdir(path, 0700);
        *at = '/';
    }
    FILE *file = fopen(path, "w");
    if (!file) exit(1);
    fputs(text, file);
    fclose(file);
}

static int remove_one(const char *path, const struct stat *found, int kind, struct FTW *place) {
    (void)found, (void)kind, (void)place;
    return remove(path);
}

static void begin(void) {
    memcpy(root, "/tmp/erai-meter-XXXXXX", 23);
    if (!mkdtemp(root)) exit(1);
}

static void end(void) {
    nftw(root, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static void without_a_meter_there_is_none(void) {
    begin();
    bench_meter meter = bench_meter_find(root);
    ER_CHECK_INT(meter.count, 0);
    ER_CHECK(bench_meter_joules(&meter) == 0);
    end();
}

static void packages_of_rapl_are_added_and_wrap(void) {
    begin();
    for (int i = 0; i < 2; i++) {
        char path[64];
        snprintf(path, sizeof path, "class/powercap/intel-rapl:%d/name", i);
        put(path, i ? "package-1\n" : "package-0\n");
        snprintf(path, sizeof path, "class/powercap/intel-rapl:%d/energy_uj", i);
        put(path, i ? "4000000\n" : "9000000\n");
        snprintf(path, sizeof path, "class/powercap/intel-rapl:%d/max_energy_range_uj", i);
        put(path, "10000000\n");
    }
    put("class/powercap/intel-rapl:0:0/name", "core\n");
    put("class/powercap/intel-rapl:0:0/energy_uj", "1\n");
    put("class/powercap/intel-rapl:2/name", "psys\n");
    put("class/powercap/intel-rapl:2/energy_uj", "1\n");
    bench_meter meter = bench_meter_find(root);
    ER_CHECK_STR(meter.name, "RAPL, 2 packages");
    put("class/powercap/intel-rapl:0/energy_uj", "1000000\n");
    put("class/powercap/intel-rapl:1/energy_uj", "4500000\n");
    ER_CHECK(bench_meter_joules(&meter) == 2.5);
    put("class/powercap/intel-rapl:1/energy_uj", "5000000\n");
    ER_CHECK(bench_meter_joules(&meter) == 3.0);
    end();
}

static void a_counter_of_hwmon_stands_in_where_rapl_cannot_be_read(void) {
    begin();
    put("class/powercap/intel-rapl:0/name", "package-0\n");
    put("class/hwmon/hwmon3/name", "sensors\n");
    put("class/hwmon/hwmon3/energy1_input", "500000\n");
    put("class/hwmon/hwmon3/power1_input", "7000000\n");
    bench_meter meter = bench_meter_find(root);
    ER_CHECK_STR(meter.name, "hwmon sensors energy1_input");
    put("class/hwmon/hwmon3/energy1_input", "750000\n");
    ER_CHECK(bench_meter_joules(&meter) == 0.25);
    end();
}

static void power_counts_for_the_time_between_two_looks(void) {
    begin();
    put("class/hwmon/hwmon0/name", "ina226\n");
    put("class/hwmon/hwmon0/power1_input", "2000000\n");
    bench_meter meter = bench_meter_find(root);
    ER_CHECK_STR(meter.name, "hwmon ina226 power1_input");
    meter.last_ns -= 3000000000;
    double joules = bench_meter_joules(&meter);
    ER_CHECK(joules >= 6 && joules < 200);
    end();
}

int main(void) {
    ER_RUN(without_a_meter_there_is_none);
    ER_RUN(packages_of_rapl_are_added_and_wrap);
    ER_RUN(a_counter_of_hwmon_stands_in_where_rapl_cannot_be_read);
    ER_RUN(power_counts_for_the_time_between_two_looks);
    return er_test_result();
}
