/* Start values of parameters and inputs from resources/parameters.csv.
 *
 * An FMU with start values of its own has the token MODEL_TOKEN "+" and 16 hexadecimal digits: FNV-1a of the file. So a
 * description, a binary and a file that do not belong together are refused. Lines are name,value,bits: the
 * bits of the value (IEEE 754) are what is read, for the text would be read by the rules of the host's language.
 */
#include "fmi_core.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#ifdef _WIN32
#define WIN32_LEAN_AND_MEAN
#include <windows.h>
#endif

#define FILE_NAME "parameters.csv"
#define LARGEST_FILE 65536
#define DIGITS 16

static FILE *open_file(const char *path)
{
#ifdef _WIN32
    wchar_t wide[4096];
    if (MultiByteToWideChar(CP_UTF8, 0, path, -1, wide, 4096) == 0) {
        return NULL;
    }
    return _wfopen(wide, L"rb");
#else
    return fopen(path, "rb");
#endif
}

/* The whole file as text; NULL where it is not there or too large. The caller frees it. */
static char *read_file(const char *folder)
{
    size_t length = folder == NULL ? 0 : strlen(folder);
    char *path = malloc(length + sizeof FILE_NAME + 1);
    char *text = malloc(LARGEST_FILE);
    FILE *file = NULL;
    size_t count = LARGEST_FILE;
    if (path != NULL && text != NULL && length > 0) {
        int ends = folder[length - 1] == '/' || folder[length - 1] == '\\';
        memcpy(path, folder, length);
        memcpy(path + length, ends ? "" : "/", 1);
        memcpy(path + length + (ends ? 0 : 1), FILE_NAME, sizeof FILE_NAME);
        file = open_file(path);
    }
    if (file != NULL) {
        count = fread(text, 1, LARGEST_FILE, file);
        fclose(file);
    }
    free(path);
    if (count == LARGEST_FILE || memchr(text, '\0', count) != NULL) {
        free(text);
        return NULL;
    }
    text[count] = '\0';
    return text;
}

/* 16 hexadecimal digits that end with the text or the line. */
static int read_bits(const char *text, uint64_t *bits)
{
    static const char SYMBOLS[] = "0123456789abcdef";
    *bits = 0;
    for (int i = 0; i < DIGITS; i++) {
        const char *symbol = text[i] == '\0' ? NULL : strchr(SYMBOLS, text[i]);
        if (symbol == NULL) {
            return 0;
        }
        *bits = *bits * 16u + (uint64_t)(symbol - SYMBOLS);
    }
    return text[DIGITS] == '\0' || text[DIGITS] == '\n';
}

static int set_start(Instance *self, const char *name, size_t length, uint64_t bits)
{
    for (size_t k = 0; k < V_COUNT; k++) {
        const Variable *variable = MODEL_VARIABLES + k;
        if (variable->causality <= CAUSALITY_INPUT && strlen(variable->name) == length
            && memcmp(variable->name, name, length) == 0) {
            memcpy(self->starts + k, &bits, sizeof bits);
            return self->starts[k] >= variable->low && self->starts[k] <= variable->high;
        }
    }
    return 0;
}

static int read_lines(Instance *self, const char *text)
{
    for (const char *line = strchr(text, '\n'); line != NULL && line[1] != '\0'; line = strchr(line + 1, '\n')) {
        const char *value = strchr(line + 1, ',');
        const char *bits_text = value == NULL ? NULL : strchr(value + 1, ',');
        uint64_t bits;
        if (bits_text == NULL || !read_bits(bits_text + 1, &bits)
            || !set_start(self, line + 1, (size_t)(value - line - 1), bits)) {
            return 0;
        }
    }
    return 1;
}

int resources_read(Instance *self, const char *token, const char *folder)
{
    size_t length = strlen(MODEL_TOKEN);
    uint64_t expected;
    uint64_t hash = 14695981039346656037u;
    char *text;
    int good;
    if (token != NULL && strcmp(token, MODEL_TOKEN) == 0) {
        return 1;
    }
    if (token == NULL || strncmp(token, MODEL_TOKEN, length) != 0 || token[length] != '+'
        || !read_bits(token + length + 1, &expected)) {
        log_tell(self, STATUS_ERROR, "the token %s is not the one of this binary (%s)", token == NULL ? "(null)" : token,
                 MODEL_TOKEN);
        return 0;
    }
    text = read_file(folder);
    if (text == NULL) {
        log_tell(self, STATUS_ERROR, "cannot read " FILE_NAME " in the resources folder %s",
                 folder == NULL ? "(null)" : folder);
        return 0;
    }
    for (const char *c = text; *c != '\0'; c++) {
        hash = (hash ^ (unsigned char)*c) * 1099511628211u;
    }
    good = hash == expected && read_lines(self, text);
    free(text);
    if (!good) {
        log_tell(self, STATUS_ERROR, FILE_NAME " in the resources folder is not the one this FMU was exported with");
    }
    return good;
}
