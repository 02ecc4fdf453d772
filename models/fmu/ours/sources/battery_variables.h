/* Written by tools/build_fmus.py from the table of the kind battery: change the table. */
#ifndef BATTERY_VARIABLES_H
#define BATTERY_VARIABLES_H

enum {
    V_CAPACITY_KWH, /* [kWh] Capacity when healthy. */
    V_CHARGE_KW, /* [kW] Largest charging power at the terminal. */
    V_DISCHARGE_KW, /* [kW] Largest discharging power at the terminal. */
    V_ETA_CHARGE, /* [1] Stored over taken energy. */
    V_ETA_DISCHARGE, /* [1] Delivered over released energy. */
    V_SOC_MIN, /* [1] Discharging stops at this state of charge. */
    V_SOC_MAX, /* [1] Charging stops at this state of charge. */
    V_SOC_START, /* [1] State of charge at the start. */
    V_LOSS_PER_DAY, /* [1] Share of the stored energy lost in a day at rest. */
    V_STANDBY_KW, /* [kW] Own consumption, drawn at the terminal at all times. */
    V_LOSS_QUADRATIC, /* [1] Further loss at rated power as a share of it; grows with the square of power. */
    V_TAPER_LOW_SOC, /* [1] Width above soc_min over which discharging falls to zero. */
    V_TAPER_HIGH_SOC, /* [1] Width below soc_max over which charging falls to zero. */
    V_HEAT_CAPACITY_KWH_K, /* [kWh/K] Heat stored for a warming of 1 K. */
    V_CONDUCTANCE_KW_K, /* [kW/K] Heat given to the air for each kelvin above it. */
    V_TEMP_START_DEGC, /* [degC] Temperature at the start. */
    V_TEMP_DERATE_START_DEGC, /* [degC] Power is reduced above this temperature. */
    V_TEMP_DERATE_END_DEGC, /* [degC] No power at and above this temperature. */
    V_FADE_PER_CYCLE, /* [1] Share of the capacity lost in a full cycle. */
    V_FADE_PER_YEAR, /* [1] Share of the capacity lost in a year (8760 h). */
    V_HEALTH_START, /* [1] Capacity at the start over capacity_kwh. */
    V_P_SET_KW, /* [kW] Power asked for at the terminal; charging is positive. */
    V_TEMP_AMBIENT_DEGC, /* [degC] Temperature of the air around it. */
    V_P_KW, /* [kW] Power at the terminal, mean of the step. */
    V_SOC, /* [1] State of charge: stored energy over the capacity left. */
    V_TEMP_DEGC, /* [degC] Temperature. */
    V_HEALTH, /* [1] Capacity left over capacity_kwh. */
    V_LOST_KWH, /* [kWh] Energy lost in the step. */
    V_COUNT
};

#endif
