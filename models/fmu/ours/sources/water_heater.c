/* Heat-pump water heater with a tank of two nodes and an electric element.
   The same equations in the same order as models/devices/water_heater.py; explained in docs/devices.md. */

#include <math.h>
#include <stddef.h>

#include "water_heater_variables.h"

#define VAL(name) (v[V_##name][i])
#define WATER_KWH_L_K 1.163e-3
#define SUB_STEP_S 10.0
#define NEWTON_STEPS 4
#define ROUNDING 1e-9

typedef struct {
    double top_degc, bottom_degc, pump_on, element_on;
    double electric_kwh, heat_kwh, unmet_kwh, drawn_kwh, lost_kwh;
} tank_t;

static double least(double a, double b) { return a < b ? a : b; }
static double most(double a, double b) { return a > b ? a : b; }
static double mean_decay(double x) { return x > 0.0 ? -expm1(-x) / x : 1.0; }
static double top_kwh_k(double *const *v, int i) { return WATER_KWH_L_K * (VAL(VOLUME_L) * VAL(TOP_SHARE)); }
static double bottom_kwh_k(double *const *v, int i)
{
    return WATER_KWH_L_K * (VAL(VOLUME_L) * (1.0 - VAL(TOP_SHARE)));
}

const char *water_heater_problem(double *const *v, int i)
{
    if (!(VAL(P_MIN_KW) <= VAL(P_RATED_KW)))
        return "p_min_kw must be at most p_rated_kw";
    if (!(VAL(LIFT_LOW_K) <= VAL(LIFT_HIGH_K)))
        return "lift_low_k must be at most lift_high_k";
    if (!(VAL(TEMP_COLD_DEGC) <= VAL(TEMP_USE_DEGC)))
        return "temp_cold_degc must be at most temp_use_degc";
    return NULL;
}

static double cop_at(double *const *v, int i, double tank_degc)
{
    const double lift_k = least(most(tank_degc - VAL(TEMP_AIR_DEGC), VAL(LIFT_LOW_K)), VAL(LIFT_HIGH_K));
    return most(VAL(COP_A) + VAL(COP_B) * lift_k + VAL(COP_C) * lift_k * lift_k, 1.0);
}

static double thermostat(double top_degc, double on, double set_degc, double width_k)
{
    return top_degc < set_degc - width_k ? 1.0 : (top_degc >= set_degc ? 0.0 : on);
}

/* Hot water drawn from the top: two mixed volumes in series, exact for the hot volume drawn; that volume is found by
   Newton steps, which approach it from below because the heat drawn is a concave function of it. */
static void draw(double *const *v, int i, tank_t *tank, double part_s)
{
    const double top_l = VAL(VOLUME_L) * VAL(TOP_SHARE), bottom_l = VAL(VOLUME_L) * (1.0 - VAL(TOP_SHARE));
    const double cold_degc = VAL(TEMP_COLD_DEGC);
    const double tap_l = VAL(DRAW_L_MIN) * (part_s / 60.0);
    const double span_k = most(VAL(TEMP_USE_DEGC) - cold_degc, 0.0);
    const double wanted_kwh = WATER_KWH_L_K * tap_l * span_k;
    const double top_k = tank->top_degc - cold_degc, bottom_k = tank->bottom_degc - cold_degc;
    double drawn_kwh = 0.0, hot_l = 0.0, after_top_k = top_k, after_bottom_k = bottom_k;

    if (!(wanted_kwh > 0.0))
        return;
    for (int round = 0; round < NEWTON_STEPS; round++) {
        const double slope_kwh_l = WATER_KWH_L_K * most(after_top_k, span_k);
        hot_l = least(hot_l + (wanted_kwh - drawn_kwh) / slope_kwh_l, tap_l);
        const double x_top = hot_l / top_l, x_bottom = hot_l / bottom_l;
        const double x_low = least(x_top, x_bottom), x_gap = fabs(x_top - x_bottom);
        after_bottom_k = bottom_k * exp(-x_bottom);
        after_top_k = top_k * exp(-x_top) + bottom_k * x_top * exp(-x_low) * mean_decay(x_gap);
        drawn_kwh = top_kwh_k(v, i) * (top_k - after_top_k) + bottom_kwh_k(v, i) * (bottom_k - after_bottom_k);
    }
    const double missing_kwh = wanted_kwh - drawn_kwh;
    tank->top_degc = cold_degc + after_top_k;
    tank->bottom_degc = cold_degc + after_bottom_k;
    tank->drawn_kwh += drawn_kwh;
    tank->unmet_kwh += missing_kwh > ROUNDING * wanted_kwh ? missing_kwh : 0.0;
}

/* Share of the warmth above the room that is lost in a sub-step: exact. */
static double lost_share(double *const *v, int i, double part_s)
{
    const double x = VAL(LOSS_KW_K) * (part_s / 3600.0) / (WATER_KWH_L_K * VAL(VOLUME_L));
    return -expm1(-x);
}

static void cool(double *const *v, int i, tank_t *tank, double share)
{
    const double top_k = (tank->top_degc - VAL(TEMP_ROOM_DEGC)) * share;
    const double bottom_k = (tank->bottom_degc - VAL(TEMP_ROOM_DEGC)) * share;
    tank->top_degc -= top_k;
    tank->bottom_degc -= bottom_k;
    tank->lost_kwh += top_kwh_k(v, i) * top_k + bottom_kwh_k(v, i) * bottom_k;
}

/* Element in the upper node and heat pump in the lower one; each stops when its set-point is reached. The heat pump
   has the first right to the power allowed. */
static void heat(double *const *v, int i, tank_t *tank, double part_s)
{
    const double part_h = part_s / 3600.0;
    const double allowed_kw = least(VAL(P_RATED_KW), most(VAL(P_LIMIT_KW), 0.0));
    const int runs =
        tank->pump_on > 0.0 && allowed_kw >= VAL(P_MIN_KW) && VAL(TEMP_AIR_DEGC) >= VAL(TEMP_AIR_MIN_DEGC);
    const double pump_kw = runs ? allowed_kw : 0.0;
    const double room_kw = most(VAL(P_LIMIT_KW) - pump_kw, 0.0);
    const double element_kw = tank->element_on > 0.0 ? least(VAL(P_ELEMENT_KW), room_kw) : 0.0;

    double full_kwh = element_kw * part_h;
    double need_kwh = most(top_kwh_k(v, i) * (VAL(TEMP_ELEMENT_DEGC) - tank->top_degc), 0.0);
    const double element_kwh = least(full_kwh, need_kwh);
    if (full_kwh >= need_kwh)
        tank->element_on = 0.0;
    tank->top_degc += element_kwh / top_kwh_k(v, i);

    const double cop = cop_at(v, i, tank->bottom_degc);
    full_kwh = pump_kw * cop * part_h;
    need_kwh = most(bottom_kwh_k(v, i) * (VAL(TEMP_SET_DEGC) - tank->bottom_degc)
                        + top_kwh_k(v, i) * (VAL(TEMP_SET_DEGC) - tank->top_degc),
                    0.0);
    const double pump_kwh = least(full_kwh, need_kwh);
    if (full_kwh >= need_kwh)
        tank->pump_on = 0.0;
    tank->bottom_degc += pump_kwh / bottom_kwh_k(v, i);
    tank->electric_kwh += element_kwh + pump_kwh / cop;
    tank->heat_kwh += element_kwh + pump_kwh;
}

/* One temperature where the lower node is warmer. */
static void mix(double *const *v, int i, tank_t *tank)
{
    const double mixed_degc = VAL(TOP_SHARE) * tank->top_degc + (1.0 - VAL(TOP_SHARE)) * tank->bottom_degc;
    if (tank->bottom_degc > tank->top_degc)
        tank->top_degc = tank->bottom_degc = mixed_degc;
}

static void show(double *const *v, int i, const tank_t *tank)
{
    VAL(TEMP_TOP_DEGC) = tank->top_degc;
    VAL(TEMP_BOTTOM_DEGC) = tank->bottom_degc;
    VAL(COP) = cop_at(v, i, tank->bottom_degc);
    VAL(UNMET_KWH) = tank->unmet_kwh;
    VAL(DRAWN_KWH) = tank->drawn_kwh;
    VAL(LOST_KWH) = tank->lost_kwh;
    VAL(PUMP_ON) = tank->pump_on;
    VAL(ELEMENT_ON) = tank->element_on;
}

void water_heater_start(double *const *v, int i)
{
    tank_t tank = {0};
    tank.top_degc = tank.bottom_degc = VAL(TEMP_START_DEGC);
    VAL(P_KW) = 0.0;
    VAL(HEAT_KW) = 0.0;
    show(v, i, &tank);
}

void water_heater_step(double *const *v, int i, double time_s, double dt_s)
{
    const double count = most(ceil(dt_s / SUB_STEP_S - ROUNDING), 1.0);
    const double part_s = dt_s / count;
    const double share = lost_share(v, i, part_s);
    tank_t tank = {0};

    tank.top_degc = VAL(TEMP_TOP_DEGC);
    tank.bottom_degc = VAL(TEMP_BOTTOM_DEGC);
    tank.pump_on = VAL(PUMP_ON);
    tank.element_on = VAL(ELEMENT_ON);
    for (double part = 0.0; part < count; part += 1.0) {
        tank.pump_on = thermostat(tank.top_degc, tank.pump_on, VAL(TEMP_SET_DEGC), VAL(HYSTERESIS_K));
        tank.element_on =
            thermostat(tank.top_degc, tank.element_on, VAL(TEMP_ELEMENT_DEGC), VAL(HYSTERESIS_K));
        draw(v, i, &tank, part_s);
        cool(v, i, &tank, share);
        heat(v, i, &tank, part_s);
        mix(v, i, &tank);
    }
    (void)time_s;
    VAL(P_KW) = tank.electric_kwh / (dt_s / 3600.0);
    VAL(HEAT_KW) = tank.heat_kwh / (dt_s / 3600.0);
    show(v, i, &tank);
}
