/* FMI 3.0, Co-Simulation (with arrays and event mode) and Model Exchange. */
#include "common.h"
#include <stdbool.h>

typedef void (*Logger)(void *, int, const char *, const char *);
#define TIME_VR 1000000

static void say(Model *m, int status, const char *category, const char *format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (m->logger) ((Logger)m->logger)(m->environment, status, category, text);
}

EXPORT const char *fmi3GetVersion(void) { return "3.0"; }
EXPORT int fmi3SetDebugLogging(Model *m, bool on, size_t n, const char *const c[]) { return OK; }
EXPORT Model *fmi3InstantiateCoSimulation(const char *name, const char *token, const char *resources, bool visible,
                                          bool logging, bool events, bool early, const unsigned int required[],
                                          size_t n, void *environment, void *logger, void *update) {
    return make(name, token, environment, logger);
}
EXPORT Model *fmi3InstantiateModelExchange(const char *name, const char *token, const char *resources, bool visible,
                                           bool logging, void *environment, void *logger) {
    Model *m = make(name, token, environment, logger);
    if (m) m->exchange = 1;
    return m;
}
EXPORT Model *fmi3InstantiateScheduledExecution(void) { return NULL; }
EXPORT void fmi3FreeInstance(Model *m) { end(m); }
EXPORT int fmi3EnterInitializationMode(Model *m, bool td, double tolerance, double start, bool sd, double stop) {
    m->s.time = start;
    return OK;
}
EXPORT int fmi3ExitInitializationMode(Model *m) { return initialise(m); }
EXPORT int fmi3EnterConfigurationMode(Model *m) { m->configuring = 1; return OK; }
EXPORT int fmi3ExitConfigurationMode(Model *m) { m->configuring = 0; return OK; }
EXPORT int fmi3Terminate(Model *m) { return OK; }
EXPORT int fmi3Reset(Model *m) { to_start(m); return OK; }

#define GET_AND_SET(Name, Type)                                                                               \
    EXPORT int fmi3Get##Name(Model *m, const unsigned int vr[], size_t n, Type value[], size_t nv) {          \
        size_t at = 0;                                                                                        \
        refresh(m);                                                                                           \
        for (size_t j = 0; j < n; j++) {                                                                      \
            if (vr[j] == TIME_VR) { value[at++] = (Type)m->s.time; continue; }                                \
            if (refused(m, vr[j], 0)) return ERROR;                                                           \
            for (int i = 0; i < count_of(m, vr[j]); i++) {                                                    \
                if (at >= nv) return ERROR;                                                                   \
                value[at++] = (Type)got(m, vr[j], i);                                                         \
            }                                                                                                 \
        }                                                                                                     \
        return at == nv ? OK : ERROR;                                                                         \
    }                                                                                                         \
    EXPORT int fmi3Set##Name(Model *m, const unsigned int vr[], size_t n, const Type value[], size_t nv) {    \
        size_t at = 0;                                                                                        \
        for (size_t j = 0; j < n; j++) {                                                                      \
            if (refused(m, vr[j], 1)) return ERROR;                                                           \
            for (int i = 0; i < count_of(m, vr[j]); i++) {                                                    \
                if (at >= nv || put(m, vr[j], i, (double)value[at++]) != OK) return ERROR;                    \
            }                                                                                                 \
        }                                                                                                     \
        return at == nv ? OK : ERROR;                                                                         \
    }
GET_AND_SET(Float64, double)
GET_AND_SET(Float32, float)
GET_AND_SET(Int8, int8_t)
GET_AND_SET(UInt8, uint8_t)
GET_AND_SET(Int16, int16_t)
GET_AND_SET(UInt16, uint16_t)
GET_AND_SET(Int32, int32_t)
GET_AND_SET(UInt32, uint32_t)
GET_AND_SET(Int64, int64_t)
GET_AND_SET(UInt64, uint64_t)
GET_AND_SET(Boolean, bool)

EXPORT int fmi3GetString(Model *m, const unsigned int vr[], size_t n, const char *value[], size_t nv) {
    for (size_t j = 0; j < n; j++) {
        if (refused(m, vr[j], 0)) return ERROR;
        value[j] = m->s.text[vr[j]];
    }
    return OK;
}
EXPORT int fmi3SetString(Model *m, const unsigned int vr[], size_t n, const char *const value[], size_t nv) {
    for (size_t j = 0; j < n; j++) {
        if (refused(m, vr[j], 1)) return ERROR;
        snprintf(m->s.text[vr[j]], COUNT_OF_TEXT, "%s", value[j]);
    }
    return OK;
}

EXPORT int fmi3GetFMUState(Model *m, void **state) {
    if (*state == NULL) *state = malloc(sizeof(State));
    memcpy(*state, &m->s, sizeof(State));
    return OK;
}
EXPORT int fmi3SetFMUState(Model *m, void *state) { memcpy(&m->s, state, sizeof(State)); return OK; }
EXPORT int fmi3FreeFMUState(Model *m, void **state) { free(*state); *state = NULL; return OK; }
EXPORT int fmi3SerializedFMUStateSize(Model *m, void *state, size_t *size) { *size = sizeof(State); return OK; }
EXPORT int fmi3SerializeFMUState(Model *m, void *state, uint8_t bytes[], size_t size) {
    memcpy(bytes, state, size);
    return OK;
}
EXPORT int fmi3DeserializeFMUState(Model *m, const uint8_t bytes[], size_t size, void **state) {
    if (size != sizeof(State)) return ERROR;
    *state = malloc(size);
    memcpy(*state, bytes, size);
    return OK;
}

EXPORT int fmi3EnterStepMode(Model *m) { return OK; }
EXPORT int fmi3DoStep(Model *m, double time, double dt, bool no_set_state, bool *event, bool *terminate, bool *early,
                      double *last_time) {
    m->no_set_state = no_set_state;
    int status = advance(m, time, dt);
    *event = m->event;
    *terminate = m->terminate;
    *early = m->early;
    *last_time = m->last_time;
    return status;
}
EXPORT int fmi3EnterEventMode(Model *m) { return OK; }
EXPORT int fmi3UpdateDiscreteStates(Model *m, bool *again, bool *terminate, bool *nominals, bool *values,
                                    bool *next_defined, double *next) {
    m->next_event_defined = m->terminate = 0;
    for (int i = 0; i < m->s.size; i++) on_event(m, i);
    *again = *nominals = false;
    *values = true;
    *terminate = m->terminate;
    *next_defined = m->next_event_defined;
    *next = m->next_event;
    return OK;
}
EXPORT int fmi3EnterContinuousTimeMode(Model *m) { return OK; }
EXPORT int fmi3CompletedIntegratorStep(Model *m, bool keep, bool *event, bool *terminate) {
    *event = *terminate = false;
    return OK;
}
EXPORT int fmi3SetTime(Model *m, double time) { m->s.time = time; return OK; }
EXPORT int fmi3SetContinuousStates(Model *m, const double x[], size_t n) {
    for (int j = 0; j < NS; j++) m->s.v[STATES[j]][0] = x[j];
    return OK;
}
EXPORT int fmi3GetContinuousStates(Model *m, double x[], size_t n) {
    for (int j = 0; j < NS; j++) x[j] = m->s.v[STATES[j]][0];
    return OK;
}
EXPORT int fmi3GetContinuousStateDerivatives(Model *m, double dx[], size_t n) {
    refresh(m);
    for (int j = 0; j < NS; j++) dx[j] = m->s.v[DERIVATIVES[j]][0];
    return OK;
}
EXPORT int fmi3GetEventIndicators(Model *m, double z[], size_t n) { on_indicators(m, 0, z); return OK; }
EXPORT int fmi3GetNominalsOfContinuousStates(Model *m, double x[], size_t n) {
    for (int j = 0; j < NS; j++) x[j] = NOMINAL;
    return OK;
}
EXPORT int fmi3GetNumberOfEventIndicators(Model *m, size_t *n) { *n = NZ; return OK; }
EXPORT int fmi3GetNumberOfContinuousStates(Model *m, size_t *n) { *n = NS; return OK; }

#define NOT_HERE(Name) EXPORT int fmi3##Name(void) { return ERROR; }
NOT_HERE(GetBinary) NOT_HERE(SetBinary) NOT_HERE(GetClock) NOT_HERE(SetClock)
NOT_HERE(GetNumberOfVariableDependencies) NOT_HERE(GetVariableDependencies)
NOT_HERE(GetDirectionalDerivative) NOT_HERE(GetAdjointDerivative)
NOT_HERE(GetIntervalDecimal) NOT_HERE(GetIntervalFraction) NOT_HERE(GetShiftDecimal) NOT_HERE(GetShiftFraction)
NOT_HERE(SetIntervalDecimal) NOT_HERE(SetIntervalFraction) NOT_HERE(SetShiftDecimal) NOT_HERE(SetShiftFraction)
NOT_HERE(EvaluateDiscreteStates) NOT_HERE(GetOutputDerivatives) NOT_HERE(ActivateModelPartition)
