/* Written by tools/build_fmus.py from the table of the kind water_heater: change the table. */
#ifndef WATER_HEATER_VARIABLES_H
#define WATER_HEATER_VARIABLES_H

enum {
    V_VOLUME_L, /* [l] Volume of the tank. */
    V_TOP_SHARE, /* [1] Share of the volume that the upper node has. */
    V_LOSS_KW_K, /* [kW/K] Standing loss for each kelvin above the room. */
    V_P_RATED_KW, /* [kW] Electric power of the heat pump. */
    V_P_MIN_KW, /* [kW] The heat pump does not run below this power. */
    V_P_ELEMENT_KW, /* [kW] Power of the electric element in the upper node. */
    V_TEMP_SET_DEGC, /* [degC] Set-point of the thermostat in the upper node. */
    V_HYSTERESIS_K, /* [K] Heating starts this far below the set-point. */
    V_TEMP_ELEMENT_DEGC, /* [degC] Set-point of the element. */
    V_COP_A, /* [1] Coefficient of performance: constant term. */
    V_COP_B, /* [1/K] Coefficient of performance: term of the lift. */
    V_COP_C, /* [1/K2] Coefficient of performance: term of the square of the lift. */
    V_LIFT_LOW_K, /* [K] Below this lift the coefficient of performance stays. */
    V_LIFT_HIGH_K, /* [K] Above this lift the coefficient of performance stays. */
    V_TEMP_AIR_MIN_DEGC, /* [degC] The heat pump does not run in colder air. */
    V_TEMP_START_DEGC, /* [degC] Temperature of the tank at the start. */
    V_TEMP_USE_DEGC, /* [degC] Temperature wanted at the tap. */
    V_TEMP_COLD_DEGC, /* [degC] Temperature of the cold water. */
    V_DRAW_L_MIN, /* [l/min] Water drawn at the tap, hot and cold mixed. */
    V_TEMP_AIR_DEGC, /* [degC] Temperature of the air the heat pump takes heat from. */
    V_TEMP_ROOM_DEGC, /* [degC] Temperature of the air around the tank. */
    V_P_LIMIT_KW, /* [kW] Largest electric power allowed; large: no limit. */
    V_P_KW, /* [kW] Electric power, mean of the step. */
    V_TEMP_TOP_DEGC, /* [degC] Temperature of the upper node. */
    V_TEMP_BOTTOM_DEGC, /* [degC] Temperature of the lower node. */
    V_COP, /* [1] Coefficient of performance at the end of the step, also while off. */
    V_HEAT_KW, /* [kW] Heat given to the tank, mean of the step. */
    V_UNMET_KWH, /* [kWh] Heat missing at the tap in the step. */
    V_DRAWN_KWH, /* [kWh] Heat drawn at the tap in the step, above cold water. */
    V_LOST_KWH, /* [kWh] Heat lost to the room in the step. */
    V_PUMP_ON, /* [1] 1 while the thermostat asks for the heat pump. */
    V_ELEMENT_ON, /* [1] 1 while the thermostat asks for the element. */
    V_COUNT
};

#endif
