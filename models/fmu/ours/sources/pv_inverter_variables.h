/* Written by tools/build_fmus.py from the table of the kind pv_inverter: change the table. */
#ifndef PV_INVERTER_VARIABLES_H
#define PV_INVERTER_VARIABLES_H

enum {
    V_S_RATED_KVA, /* [kVA] Rated apparent power. */
    V_P_RATED_KW, /* [kW] Rated active power. */
    V_MODE, /* [1] Reactive power: 0 fixed, 1 cos phi(P), 2 Q(V). */
    V_COS_PHI, /* [1] Fixed power factor. */
    V_ABSORBS, /* [1] 1: the fixed power factor absorbs, 0: it injects. */
    V_COS_PHI_MIN, /* [1] cos phi(P): power factor at rated power. */
    V_COS_PHI_P_START, /* [1] cos phi(P): 1 up to this share of rated power. */
    V_COS_PHI_LOCK_IN_PU, /* [pu] cos phi(P): active above this voltage. */
    V_COS_PHI_LOCK_OUT_PU, /* [pu] cos phi(P): inactive below this voltage. */
    V_V2I_PU, /* [pu] Q(V): full injection at and below this voltage. */
    V_V1I_PU, /* [pu] Q(V): no injection at and above this voltage. */
    V_V1S_PU, /* [pu] Q(V): no absorption at and below this voltage. */
    V_V2S_PU, /* [pu] Q(V): full absorption at and above this voltage. */
    V_Q_MAX_SHARE, /* [1] Q(V): largest share of rated active power. */
    V_Q_V_LOCK_IN_SHARE, /* [1] Q(V): active above this share of rated power. */
    V_Q_V_LOCK_OUT_SHARE, /* [1] Q(V): inactive below this share of rated power. */
    V_P_V_START_PU, /* [pu] P(V): feed-in is reduced above this voltage; 1e9: off. */
    V_P_V_END_PU, /* [pu] P(V): down to p_v_min_share at this voltage. */
    V_P_V_MIN_SHARE, /* [1] P(V): share of rated power always allowed. */
    V_RESPONSE_S, /* [s] Time constant of active and reactive power; 0: at once. */
    V_RAMP_UP_SHARE_S, /* [1/s] Largest increase of feed-in in a second as a share of rated power; 0: no limit. */
    V_P_AVAILABLE_KW, /* [kW] Power the sun allows, at most 0. */
    V_P_LIMIT_KW, /* [kW] Largest feed-in allowed from outside; large: no limit. */
    V_VM_PU, /* [pu] Voltage at the terminal. */
    V_P_KW, /* [kW] Active power, mean of the step; feed-in is negative. */
    V_Q_KVAR, /* [kvar] Reactive power, mean of the step; absorption is positive. */
    V_LOCKED, /* [1] 1 where the reactive function is active. */
    V_P_END_KW, /* [kW] Active power at the end of the step. */
    V_Q_END_KVAR, /* [kvar] Reactive power at the end of the step. */
    V_COUNT
};

#endif
