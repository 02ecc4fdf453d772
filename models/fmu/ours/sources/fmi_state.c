/* The state of an instance as one block of bytes: a head, then all values. */
#include "fmi_core.h"

#include <stdlib.h>
#include <string.h>

typedef struct {
    uint64_t stamp; /* of the kind and its build: a state of another FMU is refused */
    uint64_t n;
    uint32_t phase;
    uint32_t unsettled;
    uint64_t stop_defined;
    double time_s;
    double stop_s;
} Head;

static uint64_t stamp(void)
{
    uint64_t hash = 14695981039346656037u; /* FNV-1a, 64 bit */
    for (const char *c = MODEL_TOKEN; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    }
    return hash;
}

static size_t block_size(uint64_t n)
{
    return sizeof(Head) + (size_t)n * V_COUNT * sizeof(double);
}

/* The head of a state that fits this FMU; 0 where it does not. */
static int read_head(const Instance *self, const void *state, Head *head)
{
    if (state == NULL) {
        log_tell(self, STATUS_ERROR, "no state was given");
        return 0;
    }
    memcpy(head, state, sizeof *head);
    if (head->stamp != stamp() || head->n < 1 || head->n > LARGEST_SIZE || head->phase < PHASE_INSTANTIATED
        || head->phase > PHASE_TERMINATED || head->phase == PHASE_CONFIGURATION) {
        log_tell(self, STATUS_ERROR, "the state was not written by this FMU");
        return 0;
    }
    return 1;
}

Status core_get_state(Instance *self, void **state)
{
    Head head = {stamp(), self->n, (uint32_t)self->phase, (uint32_t)self->unsettled, (uint64_t)self->stop_defined,
                 self->time_s, self->stop_s};
    char *block;
    if (state == NULL || self->phase == PHASE_CONFIGURATION) {
        return log_tell(self, STATUS_ERROR, "a state cannot be taken here");
    }
    block = realloc(*state, block_size(self->n)); /* a state that is handed in is written over */
    if (block == NULL) {
        return log_tell(self, STATUS_ERROR, "no memory for a state");
    }
    memcpy(block, &head, sizeof head);
    memcpy(block + sizeof head, self->values, block_size(self->n) - sizeof head);
    *state = block;
    return STATUS_OK;
}

Status core_set_state(Instance *self, const void *state)
{
    Head head;
    if (!read_head(self, state, &head)) {
        return STATUS_ERROR;
    }
    if (head.n != self->n) {
        double *values = malloc(block_size(head.n) - sizeof head);
        if (values == NULL) {
            return log_tell(self, STATUS_ERROR, "no memory for %lu devices", (unsigned long)head.n);
        }
        free(self->values);
        self->values = values;
        self->n = (size_t)head.n;
        for (size_t k = 0; k < V_COUNT; k++) {
            self->rows[k] = values + k * self->n;
        }
    }
    memcpy(self->values, (const char *)state + sizeof head, block_size(head.n) - sizeof head);
    self->phase = (Phase)head.phase;
    self->unsettled = (int)head.unsettled;
    self->stop_defined = (int)head.stop_defined;
    self->time_s = head.time_s;
    self->stop_s = head.stop_s;
    return STATUS_OK;
}

Status core_free_state(Instance *self, void **state)
{
    (void)self;
    if (state != NULL) {
        free(*state);
        *state = NULL;
    }
    return STATUS_OK;
}

Status core_state_size(const Instance *self, const void *state, size_t *size)
{
    Head head;
    if (size == NULL || !read_head(self, state, &head)) {
        return STATUS_ERROR;
    }
    *size = block_size(head.n);
    return STATUS_OK;
}

Status core_write_state(const Instance *self, const void *state, void *bytes, size_t size)
{
    Head head;
    if (bytes == NULL || !read_head(self, state, &head)) {
        return STATUS_ERROR;
    }
    if (size != block_size(head.n)) {
        return log_tell(self, STATUS_ERROR, "the state has %lu bytes, not %lu", (unsigned long)block_size(head.n),
                        (unsigned long)size);
    }
    memcpy(bytes, state, size);
    return STATUS_OK;
}

Status core_read_state(const Instance *self, const void *bytes, size_t size, void **state)
{
    Head head;
    void *block;
    if (state == NULL || bytes == NULL || size < sizeof head) {
        return log_tell(self, STATUS_ERROR, "the state was not written by this FMU");
    }
    if (!read_head(self, bytes, &head)) {
        return STATUS_ERROR;
    }
    if (size != block_size(head.n)) {
        return log_tell(self, STATUS_ERROR, "the state is cut off: %lu bytes, not %lu", (unsigned long)size,
                        (unsigned long)block_size(head.n));
    }
    block = malloc(size);
    if (block == NULL) {
        return log_tell(self, STATUS_ERROR, "no memory for a state");
    }
    memcpy(block, bytes, size);
    free(*state);
    *state = block;
    return STATUS_OK;
}
