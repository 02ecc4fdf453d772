/* Messages to the importer. */
#include "fmi_core.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_SIZE 512

static const char *const CATEGORIES[] = {"logEvents", "logStatusDiscard", "logStatusError", "logAll"};

Status log_tell(const Instance *self, Status status, const char *format, ...)
{
    char text[TEXT_SIZE];
    va_list arguments;
    const char *category = CATEGORIES[0];
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    /* A logger of FMI 2.0 takes the text for a printf template. */
    for (char *c = text; *c != '\0'; c++) {
        if (*c == '%') {
            *c = ' ';
        }
    }
    if (status != STATUS_OK) {
        category = status == STATUS_DISCARD ? CATEGORIES[1] : CATEGORIES[2];
    } else if (!self->debug) {
        return status;
    }
    self->tell(self, status, category, text);
    return status;
}

Status log_debug(Instance *self, int on, size_t n_categories, const char *const *categories)
{
    for (size_t i = 0; i < n_categories; i++) {
        size_t known = 0;
        while (known < sizeof CATEGORIES / sizeof *CATEGORIES
               && (categories[i] == NULL || strcmp(categories[i], CATEGORIES[known]) != 0)) {
            known++;
        }
        if (known == sizeof CATEGORIES / sizeof *CATEGORIES) {
            return log_tell(self, STATUS_ERROR, "there is no log category %s",
                            categories[i] == NULL ? "(null)" : categories[i]);
        }
    }
    self->debug = on;
    return STATUS_OK;
}
