/* FMI 3.0 Co-Simulation: n devices as arrays. Names, types and rules are those of the standard (FMI 3.0.2). */
#include "fmi_core.h"
#include "fmi_export.h"

#include <stdbool.h>

typedef void *fmi3Instance;
typedef void *fmi3InstanceEnvironment;
typedef void *fmi3FMUState;
typedef uint32_t fmi3ValueReference;
typedef float fmi3Float32;
typedef double fmi3Float64;
typedef int8_t fmi3Int8;
typedef uint8_t fmi3UInt8;
typedef int16_t fmi3Int16;
typedef uint16_t fmi3UInt16;
typedef int32_t fmi3Int32;
typedef uint32_t fmi3UInt32;
typedef int64_t fmi3Int64;
typedef uint64_t fmi3UInt64;
typedef bool fmi3Boolean;
typedef const char *fmi3String;
typedef uint8_t fmi3Byte;
typedef const fmi3Byte *fmi3Binary;
typedef bool fmi3Clock;
typedef Status fmi3Status;
typedef int fmi3DependencyKind;
typedef int fmi3IntervalQualifier;

typedef void (*fmi3LogMessageCallback)(fmi3InstanceEnvironment, fmi3Status, fmi3String category, fmi3String message);
typedef void (*fmi3IntermediateUpdateCallback)(fmi3InstanceEnvironment, fmi3Float64, fmi3Boolean, fmi3Boolean,
                                               fmi3Boolean, fmi3Boolean, fmi3Boolean *, fmi3Float64 *);
typedef void (*fmi3ClockUpdateCallback)(fmi3InstanceEnvironment);
typedef void (*fmi3PreemptionCallback)(void);

static void tell(const Instance *self, Status status, const char *category, const char *text)
{
    if (self->logger != NULL) {
        ((fmi3LogMessageCallback)self->logger)(self->environment, status, category, text);
    }
}

EXPORT const char *fmi3GetVersion(void) { return "3.0"; }

EXPORT fmi3Status fmi3SetDebugLogging(fmi3Instance c, fmi3Boolean on, size_t n, const fmi3String categories[])
{
    return log_debug(c, on, n, categories);
}

EXPORT fmi3Instance fmi3InstantiateCoSimulation(fmi3String name, fmi3String token, fmi3String folder,
                                                fmi3Boolean visible, fmi3Boolean on, fmi3Boolean event_mode,
                                                fmi3Boolean early_return, const fmi3ValueReference intermediate[],
                                                size_t n_intermediate, fmi3InstanceEnvironment environment,
                                                fmi3LogMessageCallback logger, fmi3IntermediateUpdateCallback update)
{
    Request request = {name, token, folder, environment, (Logger)logger, tell, on};
    (void)visible;
    (void)early_return;
    (void)intermediate;
    (void)update;
    if (event_mode || n_intermediate > 0) {
        if (logger != NULL) {
            logger(environment, STATUS_ERROR, "logStatusError", "there is no event mode and no intermediate update");
        }
        return NULL;
    }
    return core_create(&request);
}

EXPORT fmi3Instance fmi3InstantiateModelExchange(fmi3String name, fmi3String token, fmi3String folder,
                                                 fmi3Boolean visible, fmi3Boolean on,
                                                 fmi3InstanceEnvironment environment, fmi3LogMessageCallback logger)
{
    (void)name;
    (void)token;
    (void)folder;
    (void)visible;
    (void)on;
    if (logger != NULL) {
        logger(environment, STATUS_ERROR, "logStatusError", "there is no Model Exchange interface");
    }
    return NULL;
}

EXPORT fmi3Instance fmi3InstantiateScheduledExecution(fmi3String name, fmi3String token, fmi3String folder,
                                                      fmi3Boolean visible, fmi3Boolean on,
                                                      fmi3InstanceEnvironment environment,
                                                      fmi3LogMessageCallback logger, fmi3ClockUpdateCallback update,
                                                      fmi3PreemptionCallback lock, fmi3PreemptionCallback unlock)
{
    (void)name;
    (void)token;
    (void)folder;
    (void)visible;
    (void)on;
    (void)update;
    (void)lock;
    (void)unlock;
    if (logger != NULL) {
        logger(environment, STATUS_ERROR, "logStatusError", "there is no Scheduled Execution interface");
    }
    return NULL;
}

EXPORT void fmi3FreeInstance(fmi3Instance c) { core_free(c); }

EXPORT fmi3Status fmi3EnterInitializationMode(fmi3Instance c, fmi3Boolean tolerance_defined, fmi3Float64 tolerance,
                                              fmi3Float64 start, fmi3Boolean stop_defined, fmi3Float64 stop)
{
    Status status = core_set_experiment(c, start, stop_defined, stop);
    (void)tolerance_defined;
    (void)tolerance;
    return status == STATUS_OK ? core_enter_initialisation(c) : status;
}

EXPORT fmi3Status fmi3ExitInitializationMode(fmi3Instance c) { return core_exit_initialisation(c); }

EXPORT fmi3Status fmi3Terminate(fmi3Instance c) { return core_terminate(c); }

EXPORT fmi3Status fmi3Reset(fmi3Instance c) { return core_reset(c); }

EXPORT fmi3Status fmi3EnterConfigurationMode(fmi3Instance c) { return core_enter_configuration(c); }

EXPORT fmi3Status fmi3ExitConfigurationMode(fmi3Instance c) { return core_exit_configuration(c); }

EXPORT fmi3Status fmi3GetFloat64(fmi3Instance c, const fmi3ValueReference vr[], size_t n, fmi3Float64 values[],
                                 size_t n_values)
{
    return core_get(c, vr, n, values, n_values);
}

EXPORT fmi3Status fmi3SetFloat64(fmi3Instance c, const fmi3ValueReference vr[], size_t n, const fmi3Float64 values[],
                                 size_t n_values)
{
    return core_set(c, vr, n, values, n_values);
}

/* The size is the only variable of this type; asked for several times it is given several times. */
static int only_size(const Instance *self, const fmi3ValueReference vr[], size_t n, size_t n_values)
{
    for (size_t i = 0; i < n; i++) {
        if (vr[i] != REFERENCE_SIZE) {
            log_tell(self, STATUS_ERROR, "there is no UInt64 with the value reference %lu", (unsigned long)vr[i]);
            return 0;
        }
    }
    if (n != n_values) {
        log_tell(self, STATUS_ERROR, "%lu values for %lu variables", (unsigned long)n_values, (unsigned long)n);
        return 0;
    }
    return 1;
}

EXPORT fmi3Status fmi3GetUInt64(fmi3Instance c, const fmi3ValueReference vr[], size_t n, fmi3UInt64 values[],
                                size_t n_values)
{
    const Instance *self = c;
    if (!only_size(self, vr, n, n_values)) {
        return STATUS_ERROR;
    }
    for (size_t i = 0; i < n; i++) {
        values[i] = self->phase == PHASE_CONFIGURATION ? self->next_n : self->n;
    }
    return STATUS_OK;
}

EXPORT fmi3Status fmi3SetUInt64(fmi3Instance c, const fmi3ValueReference vr[], size_t n, const fmi3UInt64 values[],
                                size_t n_values)
{
    Status status = only_size(c, vr, n, n_values) ? STATUS_OK : STATUS_ERROR;
    for (size_t i = 0; i < n && status == STATUS_OK; i++) {
        status = core_set_size(c, values[i]);
    }
    return status;
}

#define NO_VARIABLES(function, type)                                                                                   \
    EXPORT fmi3Status function(fmi3Instance c, const fmi3ValueReference vr[], size_t n, type values[],                 \
                               size_t n_values)                                                                        \
    {                                                                                                                  \
        (void)vr;                                                                                                      \
        (void)values;                                                                                                  \
        return n == 0 && n_values == 0 ? STATUS_OK                                                                     \
                                       : log_tell(c, STATUS_ERROR, #function ": there are no variables of this type");  \
    }

NO_VARIABLES(fmi3GetFloat32, fmi3Float32)
NO_VARIABLES(fmi3GetInt8, fmi3Int8)
NO_VARIABLES(fmi3GetUInt8, fmi3UInt8)
NO_VARIABLES(fmi3GetInt16, fmi3Int16)
NO_VARIABLES(fmi3GetUInt16, fmi3UInt16)
NO_VARIABLES(fmi3GetInt32, fmi3Int32)
NO_VARIABLES(fmi3GetUInt32, fmi3UInt32)
NO_VARIABLES(fmi3GetInt64, fmi3Int64)
NO_VARIABLES(fmi3GetBoolean, fmi3Boolean)
NO_VARIABLES(fmi3GetString, fmi3String)
NO_VARIABLES(fmi3SetFloat32, const fmi3Float32)
NO_VARIABLES(fmi3SetInt8, const fmi3Int8)
NO_VARIABLES(fmi3SetUInt8, const fmi3UInt8)
NO_VARIABLES(fmi3SetInt16, const fmi3Int16)
NO_VARIABLES(fmi3SetUInt16, const fmi3UInt16)
NO_VARIABLES(fmi3SetInt32, const fmi3Int32)
NO_VARIABLES(fmi3SetUInt32, const fmi3UInt32)
NO_VARIABLES(fmi3SetInt64, const fmi3Int64)
NO_VARIABLES(fmi3SetBoolean, const fmi3Boolean)
NO_VARIABLES(fmi3SetString, const fmi3String)

EXPORT fmi3Status fmi3GetFMUState(fmi3Instance c, fmi3FMUState *state) { return core_get_state(c, state); }

EXPORT fmi3Status fmi3SetFMUState(fmi3Instance c, fmi3FMUState state) { return core_set_state(c, state); }

EXPORT fmi3Status fmi3FreeFMUState(fmi3Instance c, fmi3FMUState *state) { return core_free_state(c, state); }

EXPORT fmi3Status fmi3SerializedFMUStateSize(fmi3Instance c, fmi3FMUState state, size_t *size)
{
    return core_state_size(c, state, size);
}

EXPORT fmi3Status fmi3SerializeFMUState(fmi3Instance c, fmi3FMUState state, fmi3Byte bytes[], size_t size)
{
    return core_write_state(c, state, bytes, size);
}

EXPORT fmi3Status fmi3DeserializeFMUState(fmi3Instance c, const fmi3Byte bytes[], size_t size, fmi3FMUState *state)
{
    return core_read_state(c, bytes, size, state);
}

EXPORT fmi3Status fmi3DoStep(fmi3Instance c, fmi3Float64 time, fmi3Float64 step, fmi3Boolean no_return,
                             fmi3Boolean *event, fmi3Boolean *end, fmi3Boolean *early, fmi3Float64 *last)
{
    Status status = core_step(c, time, step);
    (void)no_return;
    *event = false;
    *end = false;
    *early = false;
    *last = ((const Instance *)c)->time_s;
    return status;
}

/* What a Co-Simulation FMU without these capabilities is never asked for; FMI 3.0 wants every function there. */
#define NOT_PROVIDED(function, ...)                                                                                    \
    EXPORT fmi3Status function(fmi3Instance c, __VA_ARGS__)                                                            \
    {                                                                                                                  \
        return log_tell(c, STATUS_ERROR, #function " is not provided");                                                \
    }
#define NOT_PROVIDED_ALONE(function)                                                                                   \
    EXPORT fmi3Status function(fmi3Instance c)                                                                         \
    {                                                                                                                  \
        return log_tell(c, STATUS_ERROR, #function " is not provided");                                                \
    }
#define REFERENCES const fmi3ValueReference vr[], size_t n

#if defined __GNUC__
#pragma GCC diagnostic ignored "-Wunused-parameter"
#endif

NOT_PROVIDED(fmi3GetBinary, REFERENCES, size_t sizes[], fmi3Binary values[], size_t n_values)
NOT_PROVIDED(fmi3SetBinary, REFERENCES, const size_t sizes[], const fmi3Binary values[], size_t n_values)
NOT_PROVIDED(fmi3GetClock, REFERENCES, fmi3Clock values[])
NOT_PROVIDED(fmi3SetClock, REFERENCES, const fmi3Clock values[])
NOT_PROVIDED(fmi3GetNumberOfVariableDependencies, fmi3ValueReference vr, size_t *n)
NOT_PROVIDED(fmi3GetVariableDependencies, fmi3ValueReference vr, size_t elements[], fmi3ValueReference independents[],
             size_t of_independents[], fmi3DependencyKind kinds[], size_t n)
NOT_PROVIDED(fmi3GetDirectionalDerivative, const fmi3ValueReference unknowns[], size_t n_unknowns,
             const fmi3ValueReference knowns[], size_t n_knowns, const fmi3Float64 seed[], size_t n_seed,
             fmi3Float64 sensitivity[], size_t n_sensitivity)
NOT_PROVIDED(fmi3GetAdjointDerivative, const fmi3ValueReference unknowns[], size_t n_unknowns,
             const fmi3ValueReference knowns[], size_t n_knowns, const fmi3Float64 seed[], size_t n_seed,
             fmi3Float64 sensitivity[], size_t n_sensitivity)
NOT_PROVIDED(fmi3GetIntervalDecimal, REFERENCES, fmi3Float64 intervals[], fmi3IntervalQualifier qualifiers[])
NOT_PROVIDED(fmi3GetIntervalFraction, REFERENCES, fmi3UInt64 counters[], fmi3UInt64 resolutions[],
             fmi3IntervalQualifier qualifiers[])
NOT_PROVIDED(fmi3GetShiftDecimal, REFERENCES, fmi3Float64 shifts[])
NOT_PROVIDED(fmi3GetShiftFraction, REFERENCES, fmi3UInt64 counters[], fmi3UInt64 resolutions[])
NOT_PROVIDED(fmi3SetIntervalDecimal, REFERENCES, const fmi3Float64 intervals[])
NOT_PROVIDED(fmi3SetIntervalFraction, REFERENCES, const fmi3UInt64 counters[], const fmi3UInt64 resolutions[])
NOT_PROVIDED(fmi3SetShiftDecimal, REFERENCES, const fmi3Float64 shifts[])
NOT_PROVIDED(fmi3SetShiftFraction, REFERENCES, const fmi3UInt64 counters[], const fmi3UInt64 resolutions[])
NOT_PROVIDED(fmi3UpdateDiscreteStates, fmi3Boolean *again, fmi3Boolean *end, fmi3Boolean *nominals,
             fmi3Boolean *states, fmi3Boolean *next_defined, fmi3Float64 *next)
NOT_PROVIDED(fmi3CompletedIntegratorStep, fmi3Boolean no_return, fmi3Boolean *event, fmi3Boolean *end)
NOT_PROVIDED(fmi3SetTime, fmi3Float64 time)
NOT_PROVIDED(fmi3SetContinuousStates, const fmi3Float64 x[], size_t n)
NOT_PROVIDED(fmi3GetContinuousStateDerivatives, fmi3Float64 x[], size_t n)
NOT_PROVIDED(fmi3GetEventIndicators, fmi3Float64 x[], size_t n)
NOT_PROVIDED(fmi3GetContinuousStates, fmi3Float64 x[], size_t n)
NOT_PROVIDED(fmi3GetNominalsOfContinuousStates, fmi3Float64 x[], size_t n)
NOT_PROVIDED(fmi3GetNumberOfEventIndicators, size_t *n)
NOT_PROVIDED(fmi3GetNumberOfContinuousStates, size_t *n)
NOT_PROVIDED(fmi3GetOutputDerivatives, REFERENCES, const fmi3Int32 orders[], fmi3Float64 values[], size_t n_values)
NOT_PROVIDED(fmi3ActivateModelPartition, fmi3ValueReference clock, fmi3Float64 time)
NOT_PROVIDED_ALONE(fmi3EnterEventMode)
NOT_PROVIDED_ALONE(fmi3EnterStepMode)
NOT_PROVIDED_ALONE(fmi3EnterContinuousTimeMode)
NOT_PROVIDED_ALONE(fmi3EvaluateDiscreteStates)
