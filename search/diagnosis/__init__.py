"""Why a network does not learn: evidence, rules and results. Pure."""
