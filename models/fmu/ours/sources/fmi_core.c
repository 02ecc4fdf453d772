/* Values and life cycle: see fmi_core.h. */
#include "fmi_core.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps that follow one another may differ by rounding. */
static double time_tolerance_s(double time_s)
{
    return 1e-9 * fmax(1.0, fabs(time_s));
}

/* Make room for n devices; those there were keep their values, others take the start values. */
static int resize(Instance *self, size_t n)
{
    double *values = malloc(n * V_COUNT * sizeof *values);
    if (values == NULL) {
        return 0;
    }
    for (size_t k = 0; k < V_COUNT; k++) {
        double *row = values + k * n;
        for (size_t i = 0; i < n; i++) {
            row[i] = i < self->n ? self->rows[k][i] : self->starts[k];
        }
        self->rows[k] = row;
    }
    free(self->values);
    self->values = values;
    self->n = n;
    return 1;
}

/* A private copy: the importer's text may go away after the call. */
static char *copy_text(const char *text)
{
    size_t size = strlen(text == NULL ? "" : text) + 1;
    char *copy = malloc(size);
    if (copy != NULL) {
        memcpy(copy, text == NULL ? "" : text, size);
    }
    return copy;
}

Instance *core_create(const Request *request)
{
    Instance *self = calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->environment = request->environment;
    self->logger = request->logger;
    self->tell = request->tell;
    self->debug = request->debug;
    self->phase = PHASE_INSTANTIATED;
    for (size_t k = 0; k < V_COUNT; k++) {
        self->starts[k] = MODEL_VARIABLES[k].start;
    }
    self->name = copy_text(request->name);
    if (self->name == NULL || !resources_read(self, request->token, request->folder)) {
        core_free(self);
        return NULL;
    }
    if (!resize(self, 1)) {
        log_tell(self, STATUS_ERROR, "no memory for an instance");
        core_free(self);
        return NULL;
    }
    return self;
}

void core_free(Instance *self)
{
    if (self != NULL) {
        free(self->values);
        free(self->name);
        free(self);
    }
}

static Status wrong_phase(const Instance *self, const char *what)
{
    static const char *const NAMES[] = {"none",      "instantiated",       "configuration mode", "initialisation mode",
                                        "step mode", "after a failed step", "terminated"};
    return log_tell(self, STATUS_ERROR, "%s is not allowed here (%s)", what, NAMES[self->phase]);
}

Status core_enter_configuration(Instance *self)
{
    if (self->phase != PHASE_INSTANTIATED) {
        return wrong_phase(self, "entering configuration mode");
    }
    self->next_n = self->n;
    self->phase = PHASE_CONFIGURATION;
    return STATUS_OK;
}

Status core_exit_configuration(Instance *self)
{
    if (self->phase != PHASE_CONFIGURATION) {
        return wrong_phase(self, "leaving configuration mode");
    }
    if (self->next_n != self->n && !resize(self, self->next_n)) {
        return log_tell(self, STATUS_ERROR, "no memory for %lu devices", (unsigned long)self->next_n);
    }
    self->phase = PHASE_INSTANTIATED;
    return STATUS_OK;
}

Status core_set_size(Instance *self, uint64_t size)
{
    if (self->phase != PHASE_CONFIGURATION) {
        return wrong_phase(self, "setting the structural parameter n, outside configuration mode,");
    }
    if (size < 1 || size > LARGEST_SIZE) {
        return log_tell(self, STATUS_DISCARD, "n must be 1 to %lu", (unsigned long)LARGEST_SIZE);
    }
    self->next_n = (size_t)size;
    return STATUS_OK;
}

Status core_set_experiment(Instance *self, double start_s, int stop_defined, double stop_s)
{
    if (self->phase != PHASE_INSTANTIATED) {
        return wrong_phase(self, "setting start and stop time");
    }
    if (!isfinite(start_s) || (stop_defined && !(stop_s >= start_s))) {
        return log_tell(self, STATUS_ERROR, "start time %g s and stop time %g s do not fit", start_s, stop_s);
    }
    self->time_s = start_s;
    self->stop_defined = stop_defined;
    self->stop_s = stop_defined ? stop_s : 0.0;
    return STATUS_OK;
}

Status core_enter_initialisation(Instance *self)
{
    if (self->phase != PHASE_INSTANTIATED) {
        return wrong_phase(self, "entering initialisation mode");
    }
    self->phase = PHASE_INITIALISATION;
    self->unsettled = 1;
    return STATUS_OK;
}

/* Outputs and states from parameters and inputs. */
static void settle(Instance *self)
{
    for (size_t i = 0; i < self->n; i++) {
        MODEL_START(self->rows, (int)i);
    }
    self->unsettled = 0;
}

/* Whether all outputs and states are finite; tells of the first that is not. */
static int is_finite(const Instance *self)
{
    for (size_t k = 0; k < V_COUNT; k++) {
        const double *row = self->rows[k];
        int bad = 0;
        if (MODEL_VARIABLES[k].causality == CAUSALITY_PARAMETER || MODEL_VARIABLES[k].causality == CAUSALITY_INPUT) {
            continue;
        }
        for (size_t i = 0; i < self->n; i++) {
            bad |= !(fabs(row[i]) <= 1.7976931348623157e308);
        }
        for (size_t i = 0; bad && i < self->n; i++) {
            if (!isfinite(row[i])) {
                log_tell(self, STATUS_ERROR, "%s of device %lu is not finite at %g s: its parameters contradict each other",
                         MODEL_VARIABLES[k].name, (unsigned long)i, self->time_s);
                return 0;
            }
        }
    }
    return 1;
}

Status core_exit_initialisation(Instance *self)
{
    if (self->phase != PHASE_INITIALISATION) {
        return wrong_phase(self, "leaving initialisation mode");
    }
    for (size_t i = 0; i < self->n; i++) {
        const char *problem = MODEL_PROBLEM(self->rows, (int)i);
        if (problem != NULL) {
            return log_tell(self, STATUS_ERROR, "device %lu: %s", (unsigned long)i, problem);
        }
    }
    if (self->unsettled) {
        settle(self);
    }
    if (!is_finite(self)) {
        self->phase = PHASE_FAILED;
        return STATUS_ERROR;
    }
    self->phase = PHASE_STEP;
    return log_tell(self, STATUS_OK, "initialised %lu x %s at %g s", (unsigned long)self->n, MODEL_NAME, self->time_s);
}

Status core_step(Instance *self, double time_s, double dt_s)
{
    if (self->phase != PHASE_STEP) {
        return wrong_phase(self, "a step");
    }
    if (!(fabs(time_s - self->time_s) <= time_tolerance_s(time_s))) {
        return log_tell(self, STATUS_ERROR, "the step starts at %g s, the last one ended at %g s", time_s, self->time_s);
    }
    if (!(dt_s > 0.0) || !isfinite(dt_s)) {
        return log_tell(self, STATUS_ERROR, "the length of a step must be above 0 s and finite (got %g)", dt_s);
    }
    if (self->stop_defined && time_s + dt_s > self->stop_s + time_tolerance_s(self->stop_s)) {
        return log_tell(self, STATUS_ERROR, "the step ends at %g s, after the stop time %g s", time_s + dt_s, self->stop_s);
    }
    for (size_t i = 0; i < self->n; i++) {
        MODEL_STEP(self->rows, (int)i, time_s, dt_s);
    }
    self->time_s = time_s + dt_s;
    if (!is_finite(self)) {
        self->phase = PHASE_FAILED;
        return STATUS_ERROR;
    }
    return STATUS_OK;
}

Status core_terminate(Instance *self)
{
    if (self->phase != PHASE_STEP && self->phase != PHASE_FAILED) {
        return wrong_phase(self, "terminating");
    }
    self->phase = PHASE_TERMINATED;
    return STATUS_OK;
}

Status core_reset(Instance *self)
{
    size_t kept = self->n;
    self->n = 0; /* keep no values */
    if (!resize(self, 1)) {
        self->n = kept;
        return log_tell(self, STATUS_ERROR, "no memory to reset");
    }
    self->phase = PHASE_INSTANTIATED;
    self->time_s = 0.0;
    self->stop_defined = 0;
    self->stop_s = 0.0;
    return STATUS_OK;
}

static int may_be_set(const Instance *self, Causality causality)
{
    int early = self->phase == PHASE_INSTANTIATED || self->phase == PHASE_INITIALISATION;
    return (causality == CAUSALITY_PARAMETER && early)
           || (causality == CAUSALITY_INPUT && (early || self->phase == PHASE_STEP));
}

static Status check_values(const Instance *self, const Variable *variable, const double *values)
{
    int bounded = variable->causality == CAUSALITY_PARAMETER;
    for (size_t i = 0; i < self->n; i++) {
        if (!isfinite(values[i]) || (bounded && (values[i] < variable->low || values[i] > variable->high))) {
            return log_tell(self, STATUS_DISCARD, "%s of device %lu must be finite and within %g and %g (got %g)",
                            variable->name, (unsigned long)i, bounded ? variable->low : -HUGE_VAL,
                            bounded ? variable->high : HUGE_VAL, values[i]);
        }
    }
    return STATUS_OK;
}

Status core_set(Instance *self, const uint32_t *references, size_t n_references, const double *values,
                size_t n_values)
{
    if (n_values != n_references * self->n) {
        return log_tell(self, STATUS_ERROR, "%lu values for %lu variables of %lu devices", (unsigned long)n_values,
                        (unsigned long)n_references, (unsigned long)self->n);
    }
    /* Either all values are taken or none. */
    for (size_t r = 0; r < n_references; r++) {
        const Variable *variable = MODEL_VARIABLES + references[r];
        Status status;
        if (references[r] >= V_COUNT) {
            return log_tell(self, STATUS_ERROR, "there is no variable with the value reference %lu to set",
                            (unsigned long)references[r]);
        }
        if (!may_be_set(self, variable->causality)) {
            return wrong_phase(self, variable->name);
        }
        status = check_values(self, variable, values + r * self->n);
        if (status != STATUS_OK) {
            return status;
        }
    }
    for (size_t r = 0; r < n_references; r++) {
        memcpy(self->rows[references[r]], values + r * self->n, self->n * sizeof *values);
    }
    self->unsettled = 1;
    return STATUS_OK;
}

Status core_get(Instance *self, const uint32_t *references, size_t n_references, double *values, size_t n_values)
{
    size_t written = 0;
    if (self->phase == PHASE_INITIALISATION && self->unsettled) {
        settle(self);
    }
    for (size_t r = 0; r < n_references; r++) {
        const double *from = references[r] < V_COUNT ? self->rows[references[r]] : &self->time_s;
        size_t count = references[r] < V_COUNT ? self->n : 1;
        if (references[r] >= V_COUNT && references[r] != REFERENCE_TIME) {
            return log_tell(self, STATUS_ERROR, "there is no variable with the value reference %lu",
                            (unsigned long)references[r]);
        }
        if (count > n_values - written) {
            return log_tell(self, STATUS_ERROR, "room for %lu values is too little", (unsigned long)n_values);
        }
        memcpy(values + written, from, count * sizeof *values);
        written += count;
    }
    if (written != n_values) {
        return log_tell(self, STATUS_ERROR, "there are %lu values, not %lu", (unsigned long)written, (unsigned long)n_values);
    }
    return STATUS_OK;
}
