/* PV inverter with the functions of CEI 0-21, a response time and a ramp.
   The same equations in the same order as models/devices/pv_inverter.py and models/inverter.py; explained in
   docs/devices.md. */

#include <math.h>
#include <stddef.h>

#include "pv_inverter_variables.h"

#define VAL(name) (v[V_##name][i])
#define COS_PHI 0.0
#define Q_V 2.0
#define P_V_OFF_PU 1e9

static double least(double a, double b) { return a < b ? a : b; }
static double most(double a, double b) { return a > b ? a : b; }
static double clip(double x, double low, double high) { return least(most(x, low), high); }
static double mean_decay(double x) { return x > 0.0 ? -expm1(-x) / x : 1.0; }
static double tan_phi(double cos_phi) { return sqrt(most(1.0 - cos_phi * cos_phi, 0.0)) / cos_phi; }

const char *pv_inverter_problem(double *const *v, int i)
{
    const double mode = VAL(MODE);
    if (!(VAL(S_RATED_KVA) >= VAL(P_RATED_KW)))
        return "s_rated_kva must be at least p_rated_kw";
    if (mode != 0.0 && mode != 1.0 && mode != 2.0)
        return "mode must be 0, 1 or 2";
    if (VAL(ABSORBS) != 0.0 && VAL(ABSORBS) != 1.0)
        return "absorbs must be 0 or 1";
    if (!(VAL(COS_PHI_LOCK_OUT_PU) <= VAL(COS_PHI_LOCK_IN_PU)))
        return "cos_phi_lock_out_pu must be at most cos_phi_lock_in_pu";
    if (!(VAL(V2I_PU) < VAL(V1I_PU) && VAL(V1I_PU) <= VAL(V1S_PU) && VAL(V1S_PU) < VAL(V2S_PU)))
        return "v2i_pu < v1i_pu <= v1s_pu < v2s_pu does not hold";
    if (!(VAL(Q_V_LOCK_OUT_SHARE) <= VAL(Q_V_LOCK_IN_SHARE)))
        return "q_v_lock_out_share must be at most q_v_lock_in_share";
    if (!(VAL(P_V_START_PU) >= P_V_OFF_PU || VAL(P_V_START_PU) < VAL(P_V_END_PU)))
        return "p_v_start_pu must be below p_v_end_pu";
    return NULL;
}

void pv_inverter_start(double *const *v, int i)
{
    VAL(P_KW) = 0.0;
    VAL(Q_KVAR) = 0.0;
    VAL(LOCKED) = VAL(MODE) == COS_PHI ? 1.0 : 0.0;
    VAL(P_END_KW) = 0.0;
    VAL(Q_END_KVAR) = 0.0;
}

static double is_locked(double *const *v, int i, double ask_kw)
{
    const double vm_pu = VAL(VM_PU);
    const double share = fabs(ask_kw) / VAL(P_RATED_KW);
    const int locked = VAL(LOCKED) > 0.0;
    if (VAL(MODE) == COS_PHI)
        return 1.0;
    if (VAL(MODE) == Q_V)
        return share > VAL(Q_V_LOCK_IN_SHARE) || (locked && share >= VAL(Q_V_LOCK_OUT_SHARE)) ? 1.0 : 0.0;
    return vm_pu > VAL(COS_PHI_LOCK_IN_PU) || (locked && vm_pu >= VAL(COS_PHI_LOCK_OUT_PU)) ? 1.0 : 0.0;
}

static double feed_in_limit_kw(double *const *v, int i)
{
    const double start_pu = VAL(P_V_START_PU);
    const double over =
        start_pu >= P_V_OFF_PU ? 0.0 : clip((VAL(VM_PU) - start_pu) / (VAL(P_V_END_PU) - start_pu), 0.0, 1.0);
    return VAL(P_RATED_KW) * (1.0 - (1.0 - VAL(P_V_MIN_SHARE)) * over);
}

static double reactive_kvar(double *const *v, int i, double p_kw, double locked)
{
    const double vm_pu = VAL(VM_PU);
    if (VAL(MODE) == COS_PHI)
        return fabs(p_kw) * ((VAL(ABSORBS) > 0.0 ? 1.0 : -1.0) * tan_phi(VAL(COS_PHI)));
    if (locked == 0.0)
        return 0.0;
    if (VAL(MODE) == Q_V) {
        const double high = clip((vm_pu - VAL(V1S_PU)) / (VAL(V2S_PU) - VAL(V1S_PU)), 0.0, 1.0);
        const double low = clip((VAL(V1I_PU) - vm_pu) / (VAL(V1I_PU) - VAL(V2I_PU)), 0.0, 1.0);
        return VAL(Q_MAX_SHARE) * VAL(P_RATED_KW) * (high - low);
    }
    const double feed_in_kw = most(-p_kw, 0.0);
    const double over =
        clip((feed_in_kw / VAL(P_RATED_KW) - VAL(COS_PHI_P_START)) / (1.0 - VAL(COS_PHI_P_START)), 0.0, 1.0);
    return feed_in_kw * tan_phi(1.0 - over * (1.0 - VAL(COS_PHI_MIN)));
}

static double within(double *const *v, int i, double p_kw, double q_kvar)
{
    const double room_kvar = sqrt(most(VAL(S_RATED_KVA) * VAL(S_RATED_KVA) - p_kw * p_kw, 0.0));
    return clip(q_kvar, -room_kvar, room_kvar);
}

/* First-order approach to aim_kw with limited growth of feed-in: exact. Returns the mean, sets the last power. */
static double follow_kw(double *const *v, int i, double from_kw, double aim_kw, double dt_s, double *end_kw)
{
    const double response_s = VAL(RESPONSE_S);
    const double ramp_kw_s = VAL(RAMP_UP_SHARE_S) * VAL(P_RATED_KW);
    const double start_kw = -from_kw, goal_kw = -aim_kw;
    const double slow_kw = ramp_kw_s > 0.0 ? goal_kw - start_kw - ramp_kw_s * response_s : 0.0;
    const double ramp_s = least(most(slow_kw, 0.0) / (ramp_kw_s > 0.0 ? ramp_kw_s : 1.0), dt_s);
    const double knee_kw = start_kw + ramp_kw_s * ramp_s;
    const double rest_s = dt_s - ramp_s;
    const double x = rest_s / (response_s > 0.0 ? response_s : 1.0);
    const double kept = response_s > 0.0 ? exp(-x) : (rest_s > 0.0 ? 0.0 : 1.0);
    const double mean_kept = response_s > 0.0 ? mean_decay(x) : 0.0;
    const double gap_kw = knee_kw - goal_kw;
    const double area_kws = ramp_s * 0.5 * (start_kw + knee_kw) + rest_s * (goal_kw + gap_kw * mean_kept);

    if (response_s == 0.0 && ramp_s == 0.0) {
        *end_kw = -goal_kw;
        return -goal_kw;
    }
    *end_kw = -(goal_kw + gap_kw * kept);
    return -(area_kws / dt_s);
}

void pv_inverter_step(double *const *v, int i, double time_s, double dt_s)
{
    const double available_kw = least(VAL(P_AVAILABLE_KW), 0.0);
    const double ask_kw = most(available_kw, -most(VAL(P_LIMIT_KW), 0.0));
    const double locked = is_locked(v, i, ask_kw);
    const double aim_kw = least(most(ask_kw, -feed_in_limit_kw(v, i)), VAL(P_RATED_KW));
    double p_end_kw;
    const double p_kw = follow_kw(v, i, most(VAL(P_END_KW), available_kw), aim_kw, dt_s, &p_end_kw);
    const double wish_kvar = within(v, i, p_kw, reactive_kvar(v, i, p_kw, locked));
    const double gap_kvar = VAL(Q_END_KVAR) - wish_kvar;
    const double response_s = VAL(RESPONSE_S);
    const double x = dt_s / (response_s > 0.0 ? response_s : 1.0);
    const double mean_kvar = wish_kvar + (response_s > 0.0 ? gap_kvar * mean_decay(x) : 0.0);
    const double late_kvar = wish_kvar + (response_s > 0.0 ? gap_kvar * exp(-x) : 0.0);

    (void)time_s;
    VAL(P_KW) = p_kw;
    VAL(Q_KVAR) = within(v, i, p_kw, mean_kvar);
    VAL(LOCKED) = locked;
    VAL(P_END_KW) = p_end_kw;
    VAL(Q_END_KVAR) = within(v, i, p_end_kw, late_kvar);
}
