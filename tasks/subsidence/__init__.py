"""Physics-guided land-subsidence forecasting: from a Stage-1 handoff to calibrated forecasts."""
