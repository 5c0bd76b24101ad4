/* Snapshots in memory. Reading, writing and merging them are in files of their own. */
#include "snapshot.h"

#include <stdlib.h>

void erai_snapshot_close(erai_snapshot *snapshot) {
    if (!snapshot) return;
    free(snapshot->features);
    free(snapshot->counts);
    free(snapshot->expired);
    free(snapshot->windows);
    free(snapshot->events);
    free(snapshot->fields);
    free(snapshot);
}

void erai_snapshot_read(const erai_snapshot *snapshot, erai_snapshot_info *info) {
    *info = snapshot->info;
}

erai_status erai_snapshot_feature(const erai_snapshot *snapshot, size_t index, erai_feature_counts *counts) {
    if (index >= snapshot->info.features) return ERAI_E_ARGUMENT;
    *counts = snapshot->features[index];
    return ERAI_OK;
}

erai_status erai_snapshot_event(const erai_snapshot *snapshot, size_t index, erai_event *event) {
    if (index >= snapshot->info.events) return ERAI_E_ARGUMENT;
    *event = snapshot->events[index];
    return ERAI_OK;
}
