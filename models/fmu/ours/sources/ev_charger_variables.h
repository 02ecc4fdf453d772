/* Written by tools/build_fmus.py from the table of the kind ev_charger: change the table. */
#ifndef EV_CHARGER_VARIABLES_H
#define EV_CHARGER_VARIABLES_H

enum {
    V_CAPACITY_KWH, /* [kWh] Capacity of the car's battery. */
    V_P_MAX_KW, /* [kW] Largest charging power. */
    V_P_MIN_KW, /* [kW] Smallest charging power: 6 A. */
    V_P_V2G_KW, /* [kW] Largest discharging power; 0: no vehicle to grid. */
    V_ETA_CHARGE, /* [1] Stored over taken energy. */
    V_ETA_DISCHARGE, /* [1] Delivered over released energy. */
    V_SOC_MIN, /* [1] Vehicle to grid stops at this state of charge. */
    V_SOC_START, /* [1] State of charge at the start. */
    V_PLUGGED, /* [1] 1 while the car is plugged in. */
    V_USED_KWH, /* [kWh] Energy driven since the step before. */
    V_DEPARTURE_H, /* [h] Hours until departure; large: not known. */
    V_SOC_NEED, /* [1] State of charge needed at departure. */
    V_P_SET_KW, /* [kW] Power asked for; 1e9: as much as possible. */
    V_P_KW, /* [kW] Power at the terminal, mean of the step; charging is positive. */
    V_SOC, /* [1] State of charge. */
    V_P_NEEDED_KW, /* [kW] Least mean power from now that meets the need, at most p_max_kw. */
    V_UNMET_KWH, /* [kWh] Energy missing to the need in the step in which the car unplugs. */
    V_DRIVEN_KWH, /* [kWh] Energy taken by driving in the step: used_kwh or what was left. */
    V_LOST_KWH, /* [kWh] Energy lost in the step. */
    V_WAS_PLUGGED, /* [1] 1 where the car was plugged in in the step before. */
    V_NEED_HELD, /* [1] State of charge needed, of the step before. */
    V_COUNT
};

#endif
