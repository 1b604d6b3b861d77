"""`stagegate tiles`: refine opt_v1 tiles to opt_v2; train, judge and check the models that do it."""
