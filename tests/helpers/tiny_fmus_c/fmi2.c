/* FMI 2.0, Co-Simulation and Model Exchange. */
#include "common.h"

typedef void (*Logger)(void *, const char *, int, const char *, const char *, ...);
typedef struct { Logger logger; void *allocate, *release, *finished, *environment; } Callbacks;
typedef struct { int again, terminate, nominals, values, next_defined; double next; } EventInfo;

static void say(Model *m, int status, const char *category, const char *format, ...) {
    char text[512];
    va_list values;
    va_start(values, format);
    vsnprintf(text, sizeof text, format, values);
    va_end(values);
    if (m->logger) ((Logger)m->logger)(m->environment, m->name, status, category, "%s", text);
}

EXPORT const char *fmi2GetTypesPlatform(void) { return "default"; }
EXPORT const char *fmi2GetVersion(void) { return "2.0"; }
EXPORT int fmi2SetDebugLogging(Model *m, int on, size_t n, const char *const c[]) { return OK; }
EXPORT Model *fmi2Instantiate(const char *name, int type, const char *token, const char *resources,
                              const Callbacks *call, int visible, int logging) {
    Model *m = make(name, token, call->environment, (void *)call->logger);
    if (m) m->exchange = type == 0;
    return m;
}
EXPORT void fmi2FreeInstance(Model *m) { end(m); }
EXPORT int fmi2SetupExperiment(Model *m, int td, double tolerance, double start, int sd, double stop) {
    m->s.time = start;
    return OK;
}
EXPORT int fmi2EnterInitializationMode(Model *m) { return OK; }
EXPORT int fmi2ExitInitializationMode(Model *m) { return initialise(m); }
EXPORT int fmi2Terminate(Model *m) { return OK; }
EXPORT int fmi2Reset(Model *m) { to_start(m); return OK; }

#define GET_AND_SET(Name, Type)                                                                   \
    EXPORT int fmi2Get##Name(Model *m, const unsigned int vr[], size_t n, Type value[]) {         \
        refresh(m);                                                                               \
        for (size_t j = 0; j < n; j++) {                                                          \
            if (refused(m, vr[j], 0)) return ERROR;                                               \
            value[j] = (Type)got(m, vr[j], 0);                                                    \
        }                                                                                         \
        return OK;                                                                                \
    }                                                                                             \
    EXPORT int fmi2Set##Name(Model *m, const unsigned int vr[], size_t n, const Type value[]) {   \
        for (size_t j = 0; j < n; j++)                                                            \
            if (refused(m, vr[j], 1) || put(m, vr[j], 0, (double)value[j]) != OK) return ERROR;   \
        return OK;                                                                                \
    }
GET_AND_SET(Real, double)
GET_AND_SET(Integer, int)
GET_AND_SET(Boolean, int)

EXPORT int fmi2GetString(Model *m, const unsigned int vr[], size_t n, const char *value[]) {
    for (size_t j = 0; j < n; j++) {
        if (refused(m, vr[j], 0)) return ERROR;
        value[j] = m->s.text[vr[j]];
    }
    return OK;
}
EXPORT int fmi2SetString(Model *m, const unsigned int vr[], size_t n, const char *const value[]) {
    for (size_t j = 0; j < n; j++) {
        if (refused(m, vr[j], 1)) return ERROR;
        snprintf(m->s.text[vr[j]], COUNT_OF_TEXT, "%s", value[j]);
    }
    return OK;
}

EXPORT int fmi2GetFMUstate(Model *m, void **state) {
    if (*state == NULL) *state = malloc(sizeof(State));
    memcpy(*state, &m->s, sizeof(State));
    return OK;
}
EXPORT int fmi2SetFMUstate(Model *m, void *state) { memcpy(&m->s, state, sizeof(State)); return OK; }
EXPORT int fmi2FreeFMUstate(Model *m, void **state) { free(*state); *state = NULL; return OK; }
EXPORT int fmi2SerializedFMUstateSize(Model *m, void *state, size_t *size) { *size = sizeof(State); return OK; }
EXPORT int fmi2SerializeFMUstate(Model *m, void *state, char bytes[], size_t size) {
    memcpy(bytes, state, size);
    return OK;
}
EXPORT int fmi2DeSerializeFMUstate(Model *m, const char bytes[], size_t size, void **state) {
    if (size != sizeof(State)) return ERROR;
    *state = malloc(size);
    memcpy(*state, bytes, size);
    return OK;
}
EXPORT int fmi2GetDirectionalDerivative(Model *m, const unsigned int u[], size_t nu, const unsigned int k[],
                                        size_t nk, const double du[], double dk[]) { return ERROR; }

EXPORT int fmi2SetRealInputDerivatives(Model *m, const unsigned int vr[], size_t n, const int order[],
                                       const double value[]) { return ERROR; }
EXPORT int fmi2GetRealOutputDerivatives(Model *m, const unsigned int vr[], size_t n, const int order[],
                                        double value[]) { return ERROR; }
EXPORT int fmi2DoStep(Model *m, double time, double dt, int no_set_state) {
    m->no_set_state = no_set_state;
    return advance(m, time, dt);
}
EXPORT int fmi2CancelStep(Model *m) { return ERROR; }
EXPORT int fmi2GetStatus(Model *m, int kind, int *value) { return DISCARD; }
EXPORT int fmi2GetRealStatus(Model *m, int kind, double *value) {
    *value = m->last_time;
    return kind == 2 ? OK : DISCARD;
}
EXPORT int fmi2GetIntegerStatus(Model *m, int kind, int *value) { return DISCARD; }
EXPORT int fmi2GetBooleanStatus(Model *m, int kind, int *value) {
    *value = m->terminate;
    return kind == 3 ? OK : DISCARD;
}
EXPORT int fmi2GetStringStatus(Model *m, int kind, const char **value) { return DISCARD; }

EXPORT int fmi2EnterEventMode(Model *m) { return OK; }
EXPORT int fmi2NewDiscreteStates(Model *m, EventInfo *info) {
    memset(info, 0, sizeof *info);
    m->next_event_defined = m->terminate = 0;
    for (int i = 0; i < m->s.size; i++) on_event(m, i);
    info->values = 1;
    info->terminate = m->terminate;
    info->next_defined = m->next_event_defined;
    info->next = m->next_event;
    return OK;
}
EXPORT int fmi2EnterContinuousTimeMode(Model *m) { return OK; }
EXPORT int fmi2CompletedIntegratorStep(Model *m, int keep, int *event, int *terminate) {
    *event = *terminate = 0;
    return OK;
}
EXPORT int fmi2SetTime(Model *m, double time) { m->s.time = time; return OK; }
EXPORT int fmi2SetContinuousStates(Model *m, const double x[], size_t n) {
    for (int j = 0; j < NS; j++) m->s.v[STATES[j]][0] = x[j];
    return OK;
}
EXPORT int fmi2GetContinuousStates(Model *m, double x[], size_t n) {
    for (int j = 0; j < NS; j++) x[j] = m->s.v[STATES[j]][0];
    return OK;
}
EXPORT int fmi2GetDerivatives(Model *m, double dx[], size_t n) {
    refresh(m);
    for (int j = 0; j < NS; j++) dx[j] = m->s.v[DERIVATIVES[j]][0];
    return OK;
}
EXPORT int fmi2GetEventIndicators(Model *m, double z[], size_t n) { on_indicators(m, 0, z); return OK; }
EXPORT int fmi2GetNominalsOfContinuousStates(Model *m, double x[], size_t n) {
    for (int j = 0; j < NS; j++) x[j] = NOMINAL;
    return OK;
}
