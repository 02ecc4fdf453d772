/* Charger with the battery of its car, minimum current and vehicle to grid.
   The same equations in the same order as models/devices/ev_charger.py; explained in docs/devices.md. */

#include <math.h>
#include <stddef.h>

#include "ev_charger_variables.h"

#define VAL(name) (v[V_##name][i])

static double least(double a, double b) { return a < b ? a : b; }
static double most(double a, double b) { return a > b ? a : b; }
static int is_plugged(double *const *v, int i) { return VAL(PLUGGED) >= 0.5; }

const char *ev_charger_problem(double *const *v, int i)
{
    if (!(VAL(P_MIN_KW) <= VAL(P_MAX_KW)))
        return "p_min_kw must be at most p_max_kw";
    return NULL;
}

/* Least mean power that meets the need in the time left; p_max_kw where none is left. */
static double needed_kw(double *const *v, int i, double stored_kwh, double left_h)
{
    const double short_kwh = most(VAL(SOC_NEED) * VAL(CAPACITY_KWH) - stored_kwh, 0.0);
    if (!is_plugged(v, i) || !(short_kwh > 0.0))
        return 0.0;
    if (!(left_h > 0.0))
        return VAL(P_MAX_KW);
    return least(short_kwh / (VAL(ETA_CHARGE) * left_h), VAL(P_MAX_KW));
}

/* Mean power over a step of a car that is plugged in. */
static double power_kw(double *const *v, int i, double stored_kwh, double dt_h)
{
    const double p_set_kw = VAL(P_SET_KW);
    const double room_kwh = most(VAL(CAPACITY_KWH) - stored_kwh, 0.0);
    const double spare_kwh = most(stored_kwh - VAL(SOC_MIN) * VAL(CAPACITY_KWH), 0.0);
    const double highest_kw = least(VAL(P_MAX_KW), room_kwh / (VAL(ETA_CHARGE) * dt_h));
    const double lowest_kw = -least(VAL(P_V2G_KW), spare_kwh * VAL(ETA_DISCHARGE) / dt_h);
    /* the pilot signal cannot ask for less than the minimum current: below it the car does not charge */
    const double ask_kw = p_set_kw > 0.0 && p_set_kw < VAL(P_MIN_KW) ? 0.0 : p_set_kw;
    return least(most(ask_kw, lowest_kw), highest_kw);
}

static void remember(double *const *v, int i)
{
    VAL(WAS_PLUGGED) = is_plugged(v, i) ? 1.0 : 0.0;
    VAL(NEED_HELD) = is_plugged(v, i) ? VAL(SOC_NEED) : 0.0;
}

void ev_charger_start(double *const *v, int i)
{
    VAL(P_KW) = 0.0;
    VAL(SOC) = VAL(SOC_START);
    VAL(P_NEEDED_KW) = needed_kw(v, i, VAL(SOC_START) * VAL(CAPACITY_KWH), VAL(DEPARTURE_H));
    VAL(UNMET_KWH) = 0.0;
    VAL(DRIVEN_KWH) = 0.0;
    VAL(LOST_KWH) = 0.0;
    remember(v, i);
}

void ev_charger_step(double *const *v, int i, double time_s, double dt_s)
{
    const double dt_h = dt_s / 3600.0;
    const double before_kwh = VAL(SOC) * VAL(CAPACITY_KWH);
    const int unplugs = VAL(WAS_PLUGGED) > 0.0 && !is_plugged(v, i);
    const double short_kwh = most(VAL(NEED_HELD) * VAL(CAPACITY_KWH) - before_kwh, 0.0);
    const double driven_kwh = least(most(VAL(USED_KWH), 0.0), before_kwh);
    const double stored_kwh = before_kwh - driven_kwh;
    const double p_kw = is_plugged(v, i) ? power_kw(v, i, stored_kwh, dt_h) : 0.0;
    const double charged_kwh = most(p_kw, 0.0) * dt_h;
    const double delivered_kwh = most(-p_kw, 0.0) * dt_h;
    const double after_kwh = stored_kwh + VAL(ETA_CHARGE) * charged_kwh - delivered_kwh / VAL(ETA_DISCHARGE);

    (void)time_s;
    VAL(P_KW) = p_kw;
    VAL(SOC) = after_kwh / VAL(CAPACITY_KWH);
    VAL(P_NEEDED_KW) = needed_kw(v, i, after_kwh, VAL(DEPARTURE_H) - dt_h);
    VAL(UNMET_KWH) = unplugs ? short_kwh : 0.0;
    VAL(DRIVEN_KWH) = driven_kwh;
    VAL(LOST_KWH) =
        (1.0 - VAL(ETA_CHARGE)) * charged_kwh + (1.0 / VAL(ETA_DISCHARGE) - 1.0) * delivered_kwh;
    remember(v, i);
}
