"""How a model runs: engines, one driver per temporal kind."""
