/* FMI 2.0 Co-Simulation: one device. Names, types and rules are those of the standard (FMI 2.0.4). */
#include "fmi_core.h"
#include "fmi_export.h"

#include <stdlib.h>
#include <string.h>

typedef void *fmi2Component;
typedef void *fmi2ComponentEnvironment;
typedef void *fmi2FMUstate;
typedef unsigned int fmi2ValueReference;
typedef double fmi2Real;
typedef int fmi2Integer;
typedef int fmi2Boolean;
typedef const char *fmi2String;
typedef char fmi2Byte;
typedef Status fmi2Status;

enum { TYPE_CO_SIMULATION = 1 };
typedef enum { KIND_DO_STEP, KIND_PENDING, KIND_LAST_SUCCESSFUL_TIME, KIND_TERMINATED } fmi2StatusKind;

typedef void (*fmi2CallbackLogger)(fmi2ComponentEnvironment, fmi2String, fmi2Status, fmi2String, fmi2String, ...);

typedef struct {
    fmi2CallbackLogger logger;
    void *(*allocateMemory)(size_t, size_t);
    void (*freeMemory)(void *);
    void (*stepFinished)(fmi2ComponentEnvironment, fmi2Status);
    fmi2ComponentEnvironment componentEnvironment;
} fmi2CallbackFunctions;

typedef struct {
    fmi2Boolean newDiscreteStatesNeeded;
    fmi2Boolean terminateSimulation;
    fmi2Boolean nominalsOfContinuousStatesChanged;
    fmi2Boolean valuesOfContinuousStatesChanged;
    fmi2Boolean nextEventTimeDefined;
    fmi2Real nextEventTime;
} fmi2EventInfo;

static void tell(const Instance *self, Status status, const char *category, const char *text)
{
    if (self->logger != NULL) {
        ((fmi2CallbackLogger)self->logger)(self->environment, self->name, status, category, text);
    }
}

static int digit(char symbol)
{
    if (symbol >= '0' && symbol <= '9') {
        return symbol - '0';
    }
    symbol = (char)(symbol | 0x20);
    return symbol >= 'a' && symbol <= 'f' ? symbol - 'a' + 10 : -1;
}

/* The path in an URI file:///...; anything else is taken for a path. The caller frees it. */
static char *path_of(const char *uri)
{
    size_t length = strlen(uri);
    char *path = malloc(length + 1);
    char *end = path;
    const char *from = uri;
    if (path == NULL) {
        return NULL;
    }
    if (strncmp(uri, "file:", 5) != 0) {
        memcpy(path, uri, length + 1);
        return path;
    }
    from += 5;
    if (strncmp(from, "//", 2) == 0) { /* skip the host */
        from += 2;
        while (*from != '\0' && *from != '/') {
            from++;
        }
    }
    while (*from != '\0') {
        int high = *from == '%' ? digit(from[1]) : -1;
        int low = high >= 0 ? digit(from[2]) : -1;
        *end++ = low >= 0 ? (char)(high * 16 + low) : *from;
        from += low >= 0 ? 3 : 1;
    }
    *end = '\0';
    if (path[0] == '/' && path[1] != '\0' && path[2] == ':') { /* /C:/folder */
        memmove(path, path + 1, strlen(path));
    }
    return path;
}

EXPORT const char *fmi2GetTypesPlatform(void) { return "default"; }

EXPORT const char *fmi2GetVersion(void) { return "2.0"; }

EXPORT fmi2Status fmi2SetDebugLogging(fmi2Component c, fmi2Boolean on, size_t n, const fmi2String categories[])
{
    return log_debug(c, on, n, categories);
}

EXPORT fmi2Component fmi2Instantiate(fmi2String name, int type, fmi2String guid, fmi2String location,
                                     const fmi2CallbackFunctions *functions, fmi2Boolean visible, fmi2Boolean on)
{
    Request request = {name, guid, NULL, NULL, NULL, tell, on};
    char *folder;
    Instance *self;
    (void)visible;
    if (functions == NULL) {
        return NULL;
    }
    if (type != TYPE_CO_SIMULATION) {
        if (functions->logger != NULL) {
            functions->logger(functions->componentEnvironment, name, STATUS_ERROR, "logStatusError",
                              "there is no Model Exchange interface");
        }
        return NULL;
    }
    folder = location == NULL ? NULL : path_of(location);
    request.folder = folder;
    request.environment = functions->componentEnvironment;
    request.logger = (Logger)functions->logger;
    self = core_create(&request);
    free(folder);
    return self;
}

EXPORT void fmi2FreeInstance(fmi2Component c) { core_free(c); }

EXPORT fmi2Status fmi2SetupExperiment(fmi2Component c, fmi2Boolean tolerance_defined, fmi2Real tolerance,
                                      fmi2Real start, fmi2Boolean stop_defined, fmi2Real stop)
{
    (void)tolerance_defined;
    (void)tolerance;
    return core_set_experiment(c, start, stop_defined, stop);
}

EXPORT fmi2Status fmi2EnterInitializationMode(fmi2Component c) { return core_enter_initialisation(c); }

EXPORT fmi2Status fmi2ExitInitializationMode(fmi2Component c) { return core_exit_initialisation(c); }

EXPORT fmi2Status fmi2Terminate(fmi2Component c) { return core_terminate(c); }

EXPORT fmi2Status fmi2Reset(fmi2Component c) { return core_reset(c); }

EXPORT fmi2Status fmi2GetReal(fmi2Component c, const fmi2ValueReference vr[], size_t n, fmi2Real value[])
{
    for (size_t i = 0; i < n; i++) {
        if (vr[i] >= V_COUNT) {
            return log_tell(c, STATUS_ERROR, "there is no variable with the value reference %lu", (unsigned long)vr[i]);
        }
    }
    return core_get(c, vr, n, value, n);
}

EXPORT fmi2Status fmi2SetReal(fmi2Component c, const fmi2ValueReference vr[], size_t n, const fmi2Real value[])
{
    return core_set(c, vr, n, value, n);
}

/* All variables are Real: other types exist for no reference. */
#define NO_VARIABLES(function, type)                                                                                   \
    EXPORT fmi2Status function(fmi2Component c, const fmi2ValueReference vr[], size_t n, type value[])                 \
    {                                                                                                                  \
        (void)vr;                                                                                                      \
        (void)value;                                                                                                   \
        return n == 0 ? STATUS_OK : log_tell(c, STATUS_ERROR, #function ": all variables are Real");                   \
    }

NO_VARIABLES(fmi2GetInteger, fmi2Integer)
NO_VARIABLES(fmi2GetBoolean, fmi2Boolean)
NO_VARIABLES(fmi2GetString, fmi2String)
NO_VARIABLES(fmi2SetInteger, const fmi2Integer)
NO_VARIABLES(fmi2SetBoolean, const fmi2Boolean)
NO_VARIABLES(fmi2SetString, const fmi2String)

EXPORT fmi2Status fmi2GetFMUstate(fmi2Component c, fmi2FMUstate *state) { return core_get_state(c, state); }

EXPORT fmi2Status fmi2SetFMUstate(fmi2Component c, fmi2FMUstate state) { return core_set_state(c, state); }

EXPORT fmi2Status fmi2FreeFMUstate(fmi2Component c, fmi2FMUstate *state) { return core_free_state(c, state); }

EXPORT fmi2Status fmi2SerializedFMUstateSize(fmi2Component c, fmi2FMUstate state, size_t *size)
{
    return core_state_size(c, state, size);
}

EXPORT fmi2Status fmi2SerializeFMUstate(fmi2Component c, fmi2FMUstate state, fmi2Byte bytes[], size_t size)
{
    return core_write_state(c, state, bytes, size);
}

EXPORT fmi2Status fmi2DeSerializeFMUstate(fmi2Component c, const fmi2Byte bytes[], size_t size, fmi2FMUstate *state)
{
    return core_read_state(c, bytes, size, state);
}

EXPORT fmi2Status fmi2DoStep(fmi2Component c, fmi2Real time, fmi2Real step, fmi2Boolean no_return)
{
    (void)no_return;
    return core_step(c, time, step);
}

EXPORT fmi2Status fmi2CancelStep(fmi2Component c)
{
    return log_tell(c, STATUS_ERROR, "there is no step to cancel: steps end before fmi2DoStep returns");
}

EXPORT fmi2Status fmi2GetRealStatus(fmi2Component c, const fmi2StatusKind kind, fmi2Real *value)
{
    if (kind != KIND_LAST_SUCCESSFUL_TIME) {
        return STATUS_DISCARD;
    }
    *value = ((const Instance *)c)->time_s;
    return STATUS_OK;
}

EXPORT fmi2Status fmi2GetBooleanStatus(fmi2Component c, const fmi2StatusKind kind, fmi2Boolean *value)
{
    (void)c;
    if (kind != KIND_TERMINATED) {
        return STATUS_DISCARD;
    }
    *value = 0;
    return STATUS_OK;
}

/* Nothing is pending, as steps are not asynchronous. */
#define NO_STATUS(function, type)                                                                                      \
    EXPORT fmi2Status function(fmi2Component c, const fmi2StatusKind kind, type *value)                                \
    {                                                                                                                  \
        (void)c;                                                                                                       \
        (void)kind;                                                                                                    \
        (void)value;                                                                                                   \
        return STATUS_DISCARD;                                                                                         \
    }

NO_STATUS(fmi2GetStatus, fmi2Status)
NO_STATUS(fmi2GetIntegerStatus, fmi2Integer)
NO_STATUS(fmi2GetStringStatus, fmi2String)

/* What a Co-Simulation FMU without these capabilities is never asked for; present because importers look for it. */
#define NOT_PROVIDED(function, ...)                                                                                    \
    EXPORT fmi2Status function(fmi2Component c, __VA_ARGS__)                                                           \
    {                                                                                                                  \
        return log_tell(c, STATUS_ERROR, #function " is not provided");                                                \
    }

#if defined __GNUC__
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif

NOT_PROVIDED(fmi2GetDirectionalDerivative, const fmi2ValueReference unknown[], size_t n_unknown,
             const fmi2ValueReference known[], size_t n_known, const fmi2Real seed[], fmi2Real result[])
NOT_PROVIDED(fmi2SetRealInputDerivatives, const fmi2ValueReference vr[], size_t n, const fmi2Integer order[],
             const fmi2Real value[])
NOT_PROVIDED(fmi2GetRealOutputDerivatives, const fmi2ValueReference vr[], size_t n, const fmi2Integer order[],
             fmi2Real value[])
NOT_PROVIDED(fmi2NewDiscreteStates, fmi2EventInfo *info)
NOT_PROVIDED(fmi2CompletedIntegratorStep, fmi2Boolean no_return, fmi2Boolean *event, fmi2Boolean *end)
NOT_PROVIDED(fmi2SetTime, fmi2Real time)
NOT_PROVIDED(fmi2SetContinuousStates, const fmi2Real x[], size_t n)
NOT_PROVIDED(fmi2GetDerivatives, fmi2Real x[], size_t n)
NOT_PROVIDED(fmi2GetEventIndicators, fmi2Real x[], size_t n)
NOT_PROVIDED(fmi2GetContinuousStates, fmi2Real x[], size_t n)
NOT_PROVIDED(fmi2GetNominalsOfContinuousStates, fmi2Real x[], size_t n)

EXPORT fmi2Status fmi2EnterEventMode(fmi2Component c)
{
    return log_tell(c, STATUS_ERROR, "fmi2EnterEventMode is not provided");
}

EXPORT fmi2Status fmi2EnterContinuousTimeMode(fmi2Component c)
{
    return log_tell(c, STATUS_ERROR, "fmi2EnterContinuousTimeMode is not provided");
}
