/* Values, life cycle and state of N devices of one kind, whatever the version of FMI.
 *
 * model.h, generated, gives the kind: V_COUNT, MODEL_NAME, MODEL_TOKEN, MODEL_VARIABLES, and the functions
 * MODEL_PROBLEM (NULL, or what is wrong with the parameters), MODEL_START and MODEL_STEP.
 * Variable k of device i is rows[k][i]; k is its value reference.
 */
#ifndef FMI_CORE_H
#define FMI_CORE_H

#include <stddef.h>
#include <stdint.h>

/* The same numbers in FMI 2.0 and 3.0. */
typedef enum { STATUS_OK, STATUS_WARNING, STATUS_DISCARD, STATUS_ERROR, STATUS_FATAL } Status;

typedef enum {
    PHASE_INSTANTIATED = 1,
    PHASE_CONFIGURATION,
    PHASE_INITIALISATION,
    PHASE_STEP,
    PHASE_FAILED,
    PHASE_TERMINATED
} Phase;

/* What may be set comes first. */
typedef enum { CAUSALITY_PARAMETER, CAUSALITY_INPUT, CAUSALITY_OUTPUT, CAUSALITY_LOCAL } Causality;

typedef struct {
    const char *name;
    Causality causality;
    double start;
    double low;
    double high;
} Variable;

#include "model.h"

/* Value references of what is not a quantity of the devices; FMI 3.0 only. */
#define REFERENCE_TIME 10000u
#define REFERENCE_SIZE 10001u
#define LARGEST_SIZE ((size_t)10000000)

typedef struct Instance Instance;
typedef void (*Logger)(void);
typedef void (*Tell)(const Instance *self, Status status, const char *category, const char *text);

struct Instance {
    char *name;
    void *environment;
    Logger logger; /* as the importer gave it; only tell knows its type */
    Tell tell;
    int debug;
    Phase phase;
    int unsettled; /* a value was set since outputs were computed; initialisation only */
    int stop_defined;
    double time_s;
    double stop_s;
    size_t n;
    size_t next_n; /* configuration mode: the size when it ends */
    double starts[V_COUNT];
    double *values;
    double *rows[V_COUNT];
};

/* What an importer hands over when it asks for an instance. */
typedef struct {
    const char *name;
    const char *token;
    const char *folder; /* resources: a path, not an URI; may be NULL */
    void *environment;
    Logger logger;
    Tell tell;
    int debug;
} Request;

Instance *core_create(const Request *request);
void core_free(Instance *self);

Status core_enter_configuration(Instance *self);
Status core_exit_configuration(Instance *self);
Status core_set_size(Instance *self, uint64_t size);
Status core_set_experiment(Instance *self, double start_s, int stop_defined, double stop_s);
Status core_enter_initialisation(Instance *self);
Status core_exit_initialisation(Instance *self);
Status core_step(Instance *self, double time_s, double dt_s);
Status core_terminate(Instance *self);
Status core_reset(Instance *self);

/* Values follow one another, all devices of the first reference first. */
Status core_set(Instance *self, const uint32_t *references, size_t n_references, const double *values,
                size_t n_values);
Status core_get(Instance *self, const uint32_t *references, size_t n_references, double *values, size_t n_values);

/* A state is one block of bytes, so that writing it out is copying it. */
Status core_get_state(Instance *self, void **state);
Status core_set_state(Instance *self, const void *state);
Status core_free_state(Instance *self, void **state);
Status core_state_size(const Instance *self, const void *state, size_t *size);
Status core_write_state(const Instance *self, const void *state, void *bytes, size_t size);
Status core_read_state(const Instance *self, const void *bytes, size_t size, void **state);

/* fmi_log.c: messages to the importer. log_tell returns the status it is given. */
Status log_tell(const Instance *self, Status status, const char *format, ...);
Status log_debug(Instance *self, int on, size_t n_categories, const char *const *categories);

/* fmi_resources.c: start values from resources/parameters.csv, where the token says that there are some. */
int resources_read(Instance *self, const char *token, const char *folder);

#endif
