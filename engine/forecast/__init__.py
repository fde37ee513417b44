"""Virtual-time simulation by the same machine: forecasts, comparison of models, consequences."""
