/* How a function is made visible outside the library. */
#ifndef FMI_EXPORT_H
#define FMI_EXPORT_H

#if defined _WIN32
#define EXPORT __declspec(dllexport)
#else
#define EXPORT __attribute__((visibility("default")))
#endif

#endif
