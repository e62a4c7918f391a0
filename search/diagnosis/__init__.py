"""Why a network does not learn: evidence, rules, experiments and results. Pure."""
