/* A small FMU: what its FMI 2.0 and FMI 3.0 shells share. The including file defines NV (variables), N_MAX (most
 * devices of one instance), NS (states), NZ (event indicators), TOKEN, ONCE and SIZE_VR (the structural parameter, -1
 * without), the tables STARTS, SETTABLE, SCALAR, STATES and DERIVATIVES, and the hooks below. */
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#ifdef _WIN32
#include <direct.h>
#define EXPORT __declspec(dllexport)
#else
#include <unistd.h>
#define EXPORT __attribute__((visibility("default")))
#endif

enum { OK, WARNING, DISCARD, ERROR, FATAL };
enum { COUNT_OF_TEXT = 64 };

typedef struct {
    double v[NV][N_MAX];
    char text[NV][COUNT_OF_TEXT];
    double time, memory[4];
    int size, steps;
} State;

typedef struct {
    State s;
    int configuring, initialised, exchange;
    /* what a step tells the caller */
    int event, terminate, early, next_event_defined;
    double last_time, next_event;
    int no_set_state; /* what the caller told of the last step: no earlier state will be set */
    void *environment, *logger, *freeing;
    char name[256];
} Model;

static int alive = 0;

static void say(Model *m, int status, const char *category, const char *format, ...);
static int on_instantiate(Model *m);
static int on_init(Model *m, int i);
static int on_step(Model *m, int i, double time, double dt);
static void on_derivatives(Model *m, int i);
static void on_indicators(Model *m, int i, double *z);
static void on_event(Model *m, int i);

static void to_start(Model *m) {
    memset(&m->s, 0, sizeof m->s);
    m->s.size = 1;
    for (int k = 0; k < NV; k++)
        for (int i = 0; i < N_MAX; i++) m->s.v[k][i] = STARTS[k];
    m->initialised = m->configuring = m->event = m->terminate = m->early = m->next_event_defined = 0;
}

static Model *make(const char *name, const char *token, void *environment, void *logger) {
    if (strcmp(token, TOKEN) != 0 || (ONCE && alive > 0)) return NULL;
    Model *m = calloc(1, sizeof *m);
    snprintf(m->name, sizeof m->name, "%s", name);
    m->environment = environment;
    m->logger = logger;
    to_start(m);
    if (on_instantiate(m) != OK) {
        free(m);
        return NULL;
    }
    alive++;
    return m;
}

static void end(Model *m) {
    if (m == NULL) return;
    alive--;
    free(m);
}

static int initialise(Model *m) {
    for (int i = 0; i < m->s.size; i++) {
        int status = on_init(m, i);
        if (status > WARNING) return status;
        on_derivatives(m, i);
    }
    m->initialised = 1;
    return OK;
}

static int advance(Model *m, double time, double dt) {
    int worst = OK;
    m->s.time = time;
    m->last_time = NAN;
    m->event = m->terminate = m->early = 0;
    m->s.steps++;
    for (int i = 0; i < m->s.size; i++) {
        int status = on_step(m, i, time, dt);
        if (status > worst) worst = status;
    }
    if (isnan(m->last_time)) m->last_time = worst <= WARNING ? time + dt : time;
    if (worst <= WARNING) m->s.time = m->last_time;
    return worst;
}

static void refresh(Model *m) {
    if (m->exchange && m->initialised)
        for (int i = 0; i < m->s.size; i++) on_derivatives(m, i);
}

static int refused(Model *m, unsigned int vr, int setting) {
    if (vr >= NV) {
        say(m, ERROR, "logStatusError", "there is no variable with value reference %u", vr);
        return 1;
    }
    if (setting && ((int)vr == SIZE_VR ? !m->configuring : !SETTABLE[vr])) {
        say(m, ERROR, "logStatusError", "the variable with value reference %u cannot be set", vr);
        return 1;
    }
    return 0;
}

static int count_of(const Model *m, unsigned int vr) { return SCALAR[vr] ? 1 : m->s.size; }

static int put(Model *m, unsigned int vr, int i, double value) {
    if ((int)vr != SIZE_VR) {
        m->s.v[vr][i] = value;
        return OK;
    }
    if (value < 1 || value > N_MAX) return ERROR;
    m->s.size = (int)value;
    return OK;
}

static double got(const Model *m, unsigned int vr, int i) {
    return (int)vr == SIZE_VR ? (double)m->s.size : m->s.v[vr][i];
}
