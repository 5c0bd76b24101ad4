/* Models that a runtime of the application's own runs: erai_runtime in edge_rai.h. */
#ifndef ER_RUNTIME_H
#define ER_RUNTIME_H

#include "model.h"

/* ERAI_E_STRUCT, or ERAI_E_ARGUMENT where something is missing that a runtime has. NULL is fine. */
erai_status er_runtime_check(const erai_runtime *runtime, char *detail);

/* The source's memory is not needed afterwards. What the runtime says of the model is held to what a model is. */
erai_status er_runtime_open(const erai_runtime *runtime, const erai_model_source *source, er_model **model,
                            char *detail);

#endif
