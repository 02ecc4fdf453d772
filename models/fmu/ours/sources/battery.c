/* Battery with losses by power, derating near full, empty and hot, and fading capacity.
   The same equations in the same order as models/devices/battery_detailed.py; explained in docs/devices.md. */

#include <math.h>
#include <stddef.h>

#include "battery_variables.h"

#define VAL(name) (v[V_##name][i])

static double least(double a, double b) { return a < b ? a : b; }
static double most(double a, double b) { return a > b ? a : b; }
static double clip(double x, double low, double high) { return least(most(x, low), high); }
static double mean_decay(double x) { return x > 0.0 ? -expm1(-x) / x : 1.0; }

const char *battery_problem(double *const *v, int i)
{
    if (!(VAL(SOC_MIN) < VAL(SOC_MAX)))
        return "soc_min must be below soc_max";
    if (!(VAL(SOC_MIN) <= VAL(SOC_START) && VAL(SOC_START) <= VAL(SOC_MAX)))
        return "soc_start must lie between soc_min and soc_max";
    if (!(VAL(TEMP_DERATE_START_DEGC) < VAL(TEMP_DERATE_END_DEGC)))
        return "temp_derate_start_degc must be below temp_derate_end_degc";
    /* else taking more power would store less */
    if (!(2.0 * VAL(LOSS_QUADRATIC) < VAL(ETA_CHARGE)))
        return "loss_quadratic must be below eta_charge / 2";
    return NULL;
}

void battery_start(double *const *v, int i)
{
    VAL(P_KW) = 0.0;
    VAL(SOC) = VAL(SOC_START);
    VAL(TEMP_DEGC) = VAL(TEMP_START_DEGC);
    VAL(HEALTH) = VAL(HEALTH_START);
    VAL(LOST_KWH) = 0.0;
}

void battery_step(double *const *v, int i, double time_s, double dt_s)
{
    const double dt_h = dt_s / 3600.0;
    const double larger_kw = most(VAL(CHARGE_KW), VAL(DISCHARGE_KW));
    const double rated_kw = larger_kw > 0.0 ? larger_kw : 1.0;
    const double health = VAL(HEALTH);
    const double temp_degc = VAL(TEMP_DEGC);
    const double usable_kwh = VAL(CAPACITY_KWH) * health;
    const double stored_kwh = VAL(SOC) * usable_kwh;
    const double resting_kwh = pow(1.0 - VAL(LOSS_PER_DAY), dt_s / 86400.0) * stored_kwh;

    /* limits of the cells; the tapers are taken at the end of the step */
    const double width_k = VAL(TEMP_DERATE_END_DEGC) - VAL(TEMP_DERATE_START_DEGC);
    const double cool = clip((VAL(TEMP_DERATE_END_DEGC) - temp_degc) / width_k, 0.0, 1.0);
    const double most_in_kw = VAL(CHARGE_KW) * cool;
    const double most_out_kw = VAL(DISCHARGE_KW) * cool;
    const double room_kwh = most(VAL(SOC_MAX) * usable_kwh - resting_kwh, 0.0);
    const double spare_kwh = most(resting_kwh - VAL(SOC_MIN) * usable_kwh, 0.0);
    double linear = VAL(TAPER_HIGH_SOC) * usable_kwh + VAL(ETA_CHARGE) * dt_h * most_in_kw;
    double square = 4.0 * VAL(LOSS_QUADRATIC) * dt_h * most_in_kw * (most_in_kw / rated_kw) * room_kwh;
    double root = linear + sqrt(most(linear * linear - square, 0.0));
    const double highest_kw = least(most_in_kw, 2.0 * room_kwh * most_in_kw / most(root, 1e-300));
    linear = VAL(TAPER_LOW_SOC) * usable_kwh + dt_h * most_out_kw / VAL(ETA_DISCHARGE);
    square = 4.0 * VAL(LOSS_QUADRATIC) * dt_h * most_out_kw * (most_out_kw / rated_kw) * spare_kwh;
    root = linear + sqrt(linear * linear + square);
    const double lowest_kw = -least(most_out_kw, 2.0 * spare_kwh * most_out_kw / most(root, 1e-300));

    const double ask_kw = clip(VAL(P_SET_KW), -VAL(DISCHARGE_KW), VAL(CHARGE_KW)) - VAL(STANDBY_KW);
    const double core_kw = clip(ask_kw, lowest_kw, highest_kw);
    const double charged_kwh = most(core_kw, 0.0) * dt_h;
    const double delivered_kwh = most(-core_kw, 0.0) * dt_h;
    const double extra_kwh = VAL(LOSS_QUADRATIC) * core_kw * (core_kw / rated_kw) * dt_h;
    const double in_kwh = VAL(ETA_CHARGE) * charged_kwh;
    const double out_kwh = delivered_kwh / VAL(ETA_DISCHARGE);
    const double after_kwh = resting_kwh + in_kwh - out_kwh - extra_kwh;
    const double heat_kwh = (stored_kwh - resting_kwh) + (1.0 - VAL(ETA_CHARGE)) * charged_kwh
                            + (1.0 / VAL(ETA_DISCHARGE) - 1.0) * delivered_kwh + extra_kwh
                            + VAL(STANDBY_KW) * dt_h;

    const double cycles = 0.5 * (in_kwh + out_kwh) / VAL(CAPACITY_KWH);
    const double faded = VAL(FADE_PER_CYCLE) * cycles + VAL(FADE_PER_YEAR) * (dt_s / 31536000.0);
    const double left = most(health - faded, 0.01);
    const double x = VAL(CONDUCTANCE_KW_K) * dt_h / VAL(HEAT_CAPACITY_KWH_K);
    const double given_kwh = VAL(CONDUCTANCE_KW_K) * (temp_degc - VAL(TEMP_AMBIENT_DEGC)) * dt_h;

    (void)time_s;
    VAL(P_KW) = core_kw + VAL(STANDBY_KW);
    VAL(SOC) = after_kwh / usable_kwh;
    VAL(TEMP_DEGC) = temp_degc + (heat_kwh - given_kwh) / VAL(HEAT_CAPACITY_KWH_K) * mean_decay(x);
    VAL(HEALTH) = left;
    /* the state of charge stays when capacity fades: what that capacity held is lost, but not as heat */
    VAL(LOST_KWH) = heat_kwh + after_kwh * ((health - left) / health);
}
